"""Results are written by the atomic writer alone; all else that opens a file to write is listed here."""

from __future__ import annotations

import ast

from tests.test_layers import sources

WRITER = "spisonet.io.atomic"
WRITING_METHODS = {"write_text", "write_bytes", "savefig", "touch", "tofile", "save_file", "write_file"}
WRITING_FUNCTIONS = {
    *("np.save", "np.savez", "np.savetxt", "mrcfile.new", "mrcfile.new_mmap", "mrcfile.write"),
    *("starfile.write", "shutil.copy", "shutil.copyfile", "shutil.copy2", "shutil.move", "PdfPages"),
    *("json.dump", "os.rename", "os.replace", "os.link", "os.symlink", "torch.save", "save_file"),
}
RENAMING_METHODS = {"rename", "hardlink_to", "symlink_to"}
# Module and function of what is no result: logs, locks, scratch files, and moves of complete files.
EXCEPTIONS = {
    ("spisonet.io.locks", "acquire"),
    ("spisonet.gui.runner", "_draw_ticket"),
    ("spisonet.gui.runner", "_wait_for_ticket"),
    ("spisonet.gui.runner", "_beat"),  # the empty file that shows that a job runs
    ("spisonet.gui.trash", "put"),  # moves complete files
    ("spisonet.gui.trash", "restore"),
    ("spisonet.gui.runner", "run"),  # output of the command, which is appended to
    ("spisonet.gui.runner", "_run_command"),
    ("spisonet.io.streams", "_null_stream"),  # the null device
    ("spisonet.io.streams", "_discard"),
    ("spisonet.io.mrc_file", "_decompress"),  # decompressed copies in the folder for temporary files
    ("spisonet.learning.process_group", "_run_one"),  # error of a process, in a temporary folder
    ("relion_external.correction", "_correct"),  # moves complete files
    ("relion_external.signals", "abort_job"),  # the empty exit file
    ("spisonet.integrations.himena", "run"),  # the empty file by which RELION ends a job
    ("relion_external.jobs.folder", "prepare"),  # the empty file that becomes the exit file
}


def atomic_names(function: ast.AST) -> set[str]:
    """Return the names that ``with atomic_path(...) as NAME, writer(NAME) as OTHER`` binds in a function."""
    found: set[str] = set()
    for node in ast.walk(function):
        for item in node.items if isinstance(node, ast.With) else ():
            call, name = item.context_expr, item.optional_vars
            if isinstance(name, ast.Name) and (
                names_in(call) & found or ast.unparse(call).startswith("atomic_path(")
            ):
                found.add(name.id)
    return found


def names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def mode_of(call: ast.Call) -> str:
    """Return the mode of a call of ``open``, as a function or as a method of a path."""
    place = 1 if isinstance(call.func, ast.Name) else 0
    given = [keyword.value for keyword in call.keywords if keyword.arg == "mode"] or call.args[place:]
    return str(given[0].value) if given and isinstance(given[0], ast.Constant) else "r"


def is_writing(call: ast.Call) -> bool:
    """Whether a call writes, creates or renames a file."""
    name = ast.unparse(call.func)
    method = name.rpartition(".")[2]
    if method == "open":
        return name == "os.open" or bool(set(mode_of(call)) & set("wax+"))
    is_of_path = isinstance(call.func, ast.Attribute) and (
        method in WRITING_METHODS | RENAMING_METHODS or (method == "replace" and len(call.args) == 1)
    )
    return is_of_path or name in WRITING_FUNCTIONS


def other_writers(module: str) -> list[str]:
    """Return the calls of a module that write to another name than one of `atomic_path`."""
    found = []
    functions = [node for node in ast.walk(sources()[module]) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        temporary = atomic_names(function)
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call) and is_writing(node)):
            if not names_in(call) & temporary:
                found.append(f"{module}, {function.name}: {ast.unparse(call)}")
    return found


def test_results_are_written_by_the_atomic_writer():
    found = {call for module in sources() if module != WRITER for call in other_writers(module)}
    known = {call for call in found if tuple(call.partition(":")[0].split(", ")) in EXCEPTIONS}
    assert found == known
    assert {tuple(call.partition(":")[0].split(", ")) for call in known} == EXCEPTIONS
