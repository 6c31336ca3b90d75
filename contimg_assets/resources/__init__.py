"""What assets, checks and sensors are given: the station database, the store, the stage runner."""
