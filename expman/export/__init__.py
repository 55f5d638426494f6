"""Exports the model in memory as versioned SavedModels that are ready to serve, verified before they are published."""
