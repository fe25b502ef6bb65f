"""oclaw.toml → typed settings, or all errors at once."""
