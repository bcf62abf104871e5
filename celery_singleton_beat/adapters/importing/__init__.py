"""Other schedulers' timetables, read as entries with their last runs."""
