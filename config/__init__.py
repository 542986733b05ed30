"""Settings, defaults, limits, the manifest of runtimes: what a person can choose, checked once at the border."""
