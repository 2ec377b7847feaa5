// Types of the vendored file: those of the package in package.json.
import uPlot from "uplot";
export default uPlot;
