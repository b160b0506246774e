"""Short download links that last for days and can be taken back."""
