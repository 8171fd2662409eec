"""Files beside and below a store: names, atomic writes, JSON, arrays of other people's making."""
