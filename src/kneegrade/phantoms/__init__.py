"""NOTHING -> RADIOGRAPHS WITH KNOWN TRUTH.

`knees` draws a person's legs and says how badly each feature is affected: outlines and landmarks.
`films` turns these into a film as a scanner shows it, `spoilt` adds to an image what spoils it,
and `studies` makes people, readers and whole studies in a release's formats.
"""
