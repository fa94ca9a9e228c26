"""Django's commands: each hands on to the program `iii`."""
