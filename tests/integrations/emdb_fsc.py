"""Form of EMDB's FSC files, checked without the archive's schema, which is not published.

Its schema, ``emdb_fsc.xsd``, is named in the configuration of the deposition system (``wwpdb.utils.config``,
``get_emd_fsc_scheme_file_path``) but is in none of its public packages, nor among the archive's schemas
(https://github.com/emdb-empiar/emdb-schemas). The facts below are what the programs have in common whose
FSC files are uploaded: RELION 3 to 5 (``Postprocessing::writeFscXml``), Bsoft (``rwFSC_XML.cpp``, which also
reads them), EMAN2 (``fsctxt2xml``) and Scipion (``ProtExportEMDB``): the root ``fsc`` with ``title``,
``xaxis`` and ``yaxis``, and in it ``coordinate`` elements of one ``x`` (1/Å) and one ``y`` each, without a
namespace.
"""

from __future__ import annotations

import math
from itertools import pairwise
from xml.etree import ElementTree as ET

ATTRIBUTES = {"title", "xaxis", "yaxis"}
AXES = {"xaxis": "Resolution (A-1)", "yaxis": "Correlation Coefficient"}


def faults_of(text: bytes) -> list[str]:
    """Return what is wrong with an FSC file."""
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        return [f"not well-formed: {error}"]
    faults = [] if root.tag == "fsc" else [f"root {root.tag}"]
    if root.attrib.keys() != ATTRIBUTES:
        faults.append(f"attributes {sorted(root.attrib)}")
    faults += [f"{axis} {root.get(axis)}" for axis, name in AXES.items() if root.get(axis) != name]
    faults += [f"element {point.tag}" for point in root if point.tag != "coordinate"]
    points = root.findall("coordinate")
    faults += [
        f"point {number}"
        for number, point in enumerate(points)
        if [part.tag for part in point] != ["x", "y"] or point.attrib or not all(map(is_number, point))
    ]
    if faults:
        return faults
    x, y = ([float(point.findtext(axis)) for point in points] for axis in "xy")
    if len(points) < 2:
        faults.append("fewer than two points")
    if (x and x[0] < 0) or any(after <= before for before, after in pairwise(x)):
        faults.append("x does not increase")
    if any(abs(value) > 1 for value in y):
        faults.append("y outside -1 to 1")
    return faults


def is_number(element: ET.Element) -> bool:
    """Return whether an element contains a finite number and nothing else."""
    try:
        return not len(element) and not element.attrib and math.isfinite(float(element.text or ""))
    except ValueError:
        return False
