"""The service for a long time, under faults that come at random."""
