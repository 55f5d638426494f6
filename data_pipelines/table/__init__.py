"""Tables of mixed columns from CSV files: kinds inferred, statistics of the training rows, preprocessing inside the model.

`reading` gets the cells as text, `splitting` says which rows train, `kinds` says what a column holds, `columns`, `dates` and
`target` turn cells into numbers, `description` shows all that, and `table` is what a settings file talks to.
"""
