"""Search of items by text: the verb, and its results."""
