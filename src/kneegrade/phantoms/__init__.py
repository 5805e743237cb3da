"""NOTHING -> RADIOGRAPHS WITH KNOWN TRUTH.

`anatomy` turns grades into outlines and landmarks, `exposure` turns outlines into an x-ray film,
`films` stamps the film as synthetic and writes it.
"""
