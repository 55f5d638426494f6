"""Export formats, one file each: what a version consists of, and how a written version is asked.

A new format is one new file here, named as the format, that assigns its `ExportFormat` to `FORMAT`.
"""
