"""The commands: one file each, thin: parse, call the stage, print."""
