"""Parts of the documentation site that are generated: pages of commands, executed notebooks, links."""
