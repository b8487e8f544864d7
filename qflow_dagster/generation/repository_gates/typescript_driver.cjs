// The program that compares what the TypeScript compiler reports before and after changes, inside the sandbox.
//
// `node typescript_driver.cjs JOBS` reads the jobs (see `typescript`) and prints the results as JSON after a mark. It
// runs `tsc` as the repository or the machine has it, of any version, on whole projects: what a tsconfig.json includes.
"use strict";
const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const MARK = "qflow-report:";
// At the end of each changed file before the change: that tsc reports it proves that tsc checks the file.
const PROBE = "qflow_probe_";
const CONFIGURATIONS = ["tsconfig.json", "jsconfig.json"];
const MAX_PROJECTS = 20;
const MAX_OUTPUT = 200_000_000;
const MESSAGE = /^(\S.*?)\((\d+),\d+\): error (TS\d+): (.*)$/gm;
// Errors of configuration and of syntax, after which tsc looks at no types.
const BLOCKING = /^(?:error TS\d+: .*|\S*\.json\(\d+,\d+\): error .*|.*\(\d+,\d+\): error TS1\d{3}: .*)$/m;
const projects = new Map();

function main(jobsFile) {
  const { within, candidates, groups } = JSON.parse(fs.readFileSync(jobsFile, "utf8"));
  for (const [file, text] of Object.entries(within)) fs.writeFileSync(file, text);
  const results = tsc(["--version"]).error
    ? candidates.map(() => ({ reason: "needs typescript" }))
    : compare(candidates, groups);
  process.stdout.write(`\n${MARK}${JSON.stringify(results)}\n`);
}

// Each candidate is an object of paths and new texts; the candidates of a group change different files.
function compare(candidates, groups) {
  const paths = [...new Set(candidates.flatMap(Object.keys))];
  const project = new Map(paths.map((file) => [file, projectOf(file)]));
  const before = new Map();
  const unchecked = {};
  const probes = Object.fromEntries(
    paths.map((file, number) => [file, `${fs.readFileSync(file, "utf8")}\n;${PROBE}${number}_;\n`]),
  );
  replaced(probes, () => {
    for (const configuration of new Set(project.values())) {
      if (configuration !== undefined) before.set(configuration, errorsOf(configuration));
    }
  });
  paths.forEach((file, number) => {
    const configuration = project.get(file);
    if (configuration === undefined) {
      unchecked[file] = ["", ""];
    } else if (!before.get(configuration).output.includes(`'${PROBE}${number}_'`)) {
      unchecked[file] = [configuration, before.get(configuration).output.match(BLOCKING)?.[0] ?? ""];
    }
  });
  const results = [];
  for (const group of groups) {
    const together = group.map((number) => candidates[number]);
    let added = addedBy(Object.assign({}, ...together), project, before);
    for (const [at, number] of group.entries()) {
      // It may be of another change of the same run.
      const own = added.length && group.length > 1 ? addedBy(together[at], project, before) : added;
      const files = Object.keys(together[at]);
      results[number] = {
        new: own,
        unchecked: Object.fromEntries(files.filter((file) => file in unchecked).map((file) => [file, unchecked[file]])),
        projects: [...new Set(files.map((file) => project.get(file)))].filter(Boolean),
      };
    }
  }
  return results;
}

// Errors that are not reported as often before.
function addedBy(texts, project, before) {
  const configurations = new Set(Object.keys(texts).map((file) => project.get(file)));
  configurations.delete(undefined);
  return replaced(texts, () =>
    [...configurations].flatMap((configuration) => {
      const old = before.get(configuration).errors;
      const now = errorsOf(configuration).errors;
      // Lines move, so an error is recognised by the text of its line; where that changed, by the file alone.
      const [unmatched, left] = without(now, old, (error) => `${error.path}\n${error.message}\n${error.text}`);
      return without(unmatched, left, (error) => `${error.path}\n${error.message}`)[0];
    }),
  );
}

// The errors of each list that are not in the other, by a key.
function without(errors, others, keyOf) {
  const byKey = new Map();
  for (const other of others) {
    if (!byKey.has(keyOf(other))) byKey.set(keyOf(other), []);
    byKey.get(keyOf(other)).push(other);
  }
  const rest = errors.filter((error) => !byKey.get(keyOf(error))?.pop());
  return [rest, [...byKey.values()].flat()];
}

function replaced(texts, action) {
  const originals = Object.keys(texts).map((file) => [file, fs.readFileSync(file)]);
  for (const [file, text] of Object.entries(texts)) fs.writeFileSync(file, text);
  try {
    return action();
  } finally {
    for (const [file, content] of originals) fs.writeFileSync(file, content);
  }
}

function errorsOf(configuration) {
  const { stdout } = tsc(["--noEmit", "--skipLibCheck", "--pretty", "false", "--project", configuration]);
  const lines = new Map();
  const errors = [...stdout.matchAll(MESSAGE)]
    .map(([, file, line, code, message]) => {
      if (!lines.has(file)) lines.set(file, linesOf(file));
      const text = lines.get(file)[line - 1]?.trim();
      return { path: path.normalize(file), line: Number(line), message: `${code}: ${message}`, text };
    })
    .filter(({ message }) => !message.includes(PROBE));
  return { output: stdout, errors };
}

function linesOf(file) {
  try {
    return fs.readFileSync(file, "utf8").split("\n");
  } catch {
    return [];
  }
}

// The nearest configuration above a file, or the project that it refers to, that includes the file.
function projectOf(file) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const nearest = CONFIGURATIONS.map((name) => path.join(folder, name)).find((name) => fs.existsSync(name));
    if (nearest !== undefined) {
      const waiting = [nearest];
      for (let next = 0; next < waiting.length && next < MAX_PROJECTS; next++) {
        const shown = shownBy(waiting[next]);
        // What cannot be shown is compiled, for its errors.
        if (shown === undefined || shown.files.has(file)) return waiting[next];
        waiting.push(...shown.references.filter((reference) => !waiting.includes(reference)));
      }
    }
    if (folder === ".") return undefined;
  }
}

function shownBy(configuration) {
  if (!projects.has(configuration)) {
    let shown;
    const folder = path.dirname(configuration);
    try {
      const { files = [], references = [] } = JSON.parse(tsc(["--showConfig", "--project", configuration]).stdout);
      shown = {
        files: new Set(files.map((file) => path.join(folder, file))),
        references: references.map((reference) => {
          const target = path.join(folder, reference.path);
          return fs.statSync(target, { throwIfNoEntry: false })?.isDirectory() ? path.join(target, "tsconfig.json") : target;
        }),
      };
    } catch {
      shown = undefined;
    }
    projects.set(configuration, shown);
  }
  return projects.get(configuration);
}

function tsc(options) {
  return spawnSync("tsc", options, { encoding: "utf8", maxBuffer: MAX_OUTPUT, stdio: ["ignore", "pipe", "ignore"] });
}

main(process.argv[2]);
