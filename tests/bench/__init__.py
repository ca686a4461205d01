"""What takes how long, measured side by side; nothing here passes or fails."""
