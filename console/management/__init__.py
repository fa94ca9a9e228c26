"""Django's commands about accounts, for where the console keeps them."""
