"""NOTHING -> RADIOGRAPHS WITH KNOWN TRUTH.

`shape` draws a person's legs, `severity` says how badly each feature is affected, `anatomy` turns
both into outlines and landmarks, `attenuation` and `exposure` those into a picture as a scanner of
`scanners` shows it, `films` makes a whole stamped film and `dicom_film` writes it. `population` and
`readers` make people and readers, `study` a whole study of them in a release's formats.
"""
