// Types of what the server returns (spisonet/gui/*.py) and of what pages share; used by the type checks only.

export type Values = Record<string, string>;
export type PageAddress = (name: string, values?: Record<string, unknown>) => string;
export type Cleanup = () => void;

/** What a page is given. */
export interface PageContext {
  main: HTMLElement;
  values: Values;
  project: Project;
  onLeave: (cleanup: Cleanup) => void;
  pageAddress: PageAddress;
}

export interface Field {
  name: string;
  label: string;
  help: string;
  kind: "switch" | "integer" | "number" | "path" | "text" | "choice";
  group: string;
  choices: string[];
  required: boolean;
  output: boolean;
  default: string | boolean | null;
  bounds: { ge?: number; gt?: number; le?: number; lt?: number; multiple_of?: number };
}

export type FieldValues = Record<string, string | boolean | null>;

export interface Form {
  command: string;
  summary: string;
  uses_gpus: boolean;
  fields: Field[];
  profiles: Record<string, FieldValues>;
}

export interface Project {
  name: string;
  version: string;
  allowed_folders: string[];
  programs: Record<string, Form[]>;
  gpus: Record<string, string>;
  settings: Settings;
  slurm: { available: boolean; template: string | null; fields: string[] };
}

export interface Settings {
  half1?: string | null;
  half2?: string | null;
  mask?: string | null;
  aniso?: string | null;
  folder?: string | null;
}

export interface ComputeTarget {
  gpus?: number[];
  wait?: boolean;
  slurm?: Record<string, string> | null;
}

export interface JobLine {
  name: string;
  title: string;
  program: string;
  command: string;
  state: string;
  submitted: number | null;
  written: string | null;
  seconds: number | null;
  last_sign_of_life: number | null;
  waiting_for: { device: string; job: string } | null;
  progress: import("./progress.js").Progress | null;
  inputs: string[];
  thumbnail: { name: string; version: string } | null;
  host: string | null;
  slurm: string | null;
  started_here: boolean;
  resumable: boolean;
}

export interface ResultFile {
  name: string;
  kind: "volume" | "table" | "image" | "page" | "text" | "other";
  main: boolean;
  bytes: number;
  modified: number;
}

export interface JobError {
  message: string;
  code: string | null;
  field: string | null;
}

export interface JobDetails extends JobLine {
  line: string[] | null;
  notes: string;
  notes_version: string;
  verdict: { judgement: string; sentence: string; code: string } | null;
  comparison: { name: string; half2: string | null; second: string } | null;
  config: Record<string, unknown>;
  values: FieldValues;
  target: ComputeTarget | null;
  version: string | null;
  error: JobError | null;
  stages: import("./progress.js").Stage[];
  losses: (number | null)[] | null;
  results: ResultFile[];
}

export interface LineageLine {
  name: string;
  title: string;
  command: string;
}

export interface TrashEntry {
  name: string;
  path: string | null;
  time: number | null;
  content?: string[];
}

export interface FolderEntry {
  name: string;
  kind: string;
  bytes: number;
}

export interface Folder {
  name: string;
  parent: string | null;
  entries: FolderEntry[];
  allowed_folders: string[];
  n_omitted: number;
}

export interface TomogramFile {
  name: string;
  exists: boolean;
}

export interface TomogramRecord {
  number: number;
  index: string;
  name: string;
  shown: string;
  files: Record<string, TomogramFile>;
  values: Record<string, string | null>;
  errors: Record<string, string>;
}

export interface Table {
  name: string;
  version: string;
  relion5: boolean;
  subtomograms: boolean;
  rows: TomogramRecord[];
}

/** How one half was corrected in an iteration of a refinement. */
export interface CorrectionRecord {
  half: string;
  status: "corrected" | "skipped" | "not_corrected";
  reason: string;
  seconds: number;
  inferred_fraction: number;
}

export interface IterationRow {
  iteration: number;
  part: string;
  corrections: CorrectionRecord[];
  view_histogram?: number[][] | null;
  [column: string]: unknown;
}

export interface Refinement {
  name: string;
  state: string;
  page: string | null;
  rows: IterationRow[];
}

export interface RefinementLine {
  name: string;
  state: string;
  iteration: number | null;
  corrected: boolean;
  modified: number;
}

export interface Estimate {
  seconds: number;
  basis: string | null;
}
