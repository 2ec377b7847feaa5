"""The worker process of one call, which looks after its parent before it imports PyTorch."""

from __future__ import annotations

from importlib import import_module

from relion_external.process import end_with_parent, log_to_standard_error

if __name__ == "__main__":
    log_to_standard_error()
    end_with_parent()
    import_module("relion_external.correction").main()
