"""RELION External jobs: this project's commands in RELION's GUI and pipeline."""
