"""Radio source catalogues on disk: reading what surveys publish, searching it fast."""
