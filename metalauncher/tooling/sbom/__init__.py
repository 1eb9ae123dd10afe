"""SBOMs and VEX of a run image's launchers: what they are made of, and which known vulnerabilities that brings.

`inventory` finds what there is and knows no format; `as_cyclonedx`, `as_spdx` and `as_openvex` write it down and read
no file. `image_files` (of `files`) gives whoever builds an image all that belongs in it.
"""
