"""Read a run image, from wherever it is named, into what apps are judged by."""
