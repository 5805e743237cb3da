"""A radiograph file becomes a `kneegrade.types.Radiograph`."""
