"""What assets, checks and sensors are given: the catalogue, the registry, the store, the stage runner."""
