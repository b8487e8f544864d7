// The program that calls functions of JavaScript before and after a change, inside the sandbox.
//
// `node behaviour_driver.cjs JOBS` reads the jobs (see `behaviour`), prints the results as JSON after a mark.
// `node behaviour_driver.cjs JOBS JOB FUNCTION FIRST` calls one function with its inputs from a number on, in a
// process of its own. Inputs come from fast-check with a fixed seed, so they are the same before and after.
"use strict";
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const Module = require("node:module");
const path = require("node:path");
const { pathToFileURL } = require("node:url");
const { inspect } = require("node:util");

const MARK = "qflow-report:";
const MAX_INPUTS = 150;
const SEED = 1;
// Seconds for the calls of one input; calls in a row: the second sees what the first left behind.
const CALL_SECONDS = 2;
const CALLS = 2;
// Inputs whose calls do not end, after which no more are tried.
const MAX_ENDLESS = 3;
const NO_IMPORT = "could not be imported: ";
// What a function of a result does is not known.
const OPAQUE = /\[(Async)?(Generator)?Function|\[class /;
const MAX_LENGTH = 2_000;
// Tried for every parameter whose type is not stated.
const EDGES = [undefined, null, true, false, 0, -0, 1, NaN, "", "a"];
const TARGET = "__qflowTarget";
// What a function raises for an input of a type that it is not for.
const UNFIT = /: raised TypeError/;
const DESCRIBED = { depth: 4, maxArrayLength: 50, maxStringLength: 1_000, breakLength: Infinity, compact: true };

async function main([jobsFile, job, at, first]) {
  const jobs = JSON.parse(fs.readFileSync(jobsFile, "utf8"));
  if (job !== undefined) {
    await callAll(jobs[job].functions[at], Number(first));
    process.exit(0);
  }
  const results = [];
  for (const number of jobs.keys()) results.push(await compare(jobsFile, number, jobs[number]));
  process.stdout.write(`\n${MARK}${JSON.stringify(results)}\n`);
}

// For each function of a job: how many inputs were compared, the first difference, or why there is none.
async function compare(jobsFile, number, { files, functions, seconds }) {
  const deadline = Date.now() + seconds * 1_000;
  if (loaded("fast-check") === undefined) {
    return functions.map(() => ({ compared: 0, reason: "needs fast-check" }));
  }
  const originals = Object.keys(files).map((file) => [file, fs.readFileSync(file, "utf8")]);
  const changed = Object.entries(files);
  const called = async (contents, positions) => {
    const results = [];
    for (const [file, text] of contents) fs.writeFileSync(file, text);
    for (const at of positions) results.push(await calls(jobsFile, number, at, functions[at], deadline));
    for (const [file, text] of originals) fs.writeFileSync(file, text);
    return results;
  };
  const before = await called(originals, functions.keys());
  const after = await called(changed, functions.keys());
  const results = [];
  for (const at of functions.keys()) {
    const first = [before[at], after[at]];
    const same = JSON.stringify(before[at]) === JSON.stringify(after[at]);
    // Only what differs is called again: results that vary without a change cannot be compared.
    const again = same ? first : [...(await called(originals, [at])), ...(await called(changed, [at]))];
    results.push(difference(first, again));
  }
  return results;
}

function difference([before, after], again) {
  if (typeof before === "string") return { compared: 0, reason: before };
  if (typeof after === "string") {
    return { compared: 0, ...(after.startsWith(NO_IMPORT) ? { different: ["import", "it worked", after] } : { reason: after }) };
  }
  const steady = Object.keys(before).filter(
    // Where there was no time for the last calls, the first ones count.
    (text) => again[0][text] === before[text] && text in after && (again[1][text] ?? after[text]) === after[text],
  );
  if (!steady.length) return { compared: 0, reason: "its results vary, or no call ended in time" };
  for (const text of steady) {
    const unfit = UNFIT.test(before[text]) && !after[text].includes(": raised");
    if (before[text] !== after[text] && !unfit) {
      return { compared: steady.length, different: [text, before[text], after[text]] };
    }
  }
  const compared = steady.filter((text) => !OPAQUE.test(before[text].match(/returned (.*?); arguments /s)?.[1]));
  if (!compared.length) return { compared: 0, reason: "its results are functions, which cannot be compared" };
  const raised = compared.filter((text) => before[text].includes(": raised ")).length;
  return { compared: compared.length, raised };
}

// What each input's calls did, the shortest input first; a text: why there are none.
async function calls(jobsFile, number, at, called, deadline) {
  const original = fs.readFileSync(called.path);
  const { owner, key } = JSON.parse(called.inputs[0]);
  const target = owner ? `[${owner}, ${JSON.stringify(key)}]` : `[undefined, ${key}]`;
  fs.writeFileSync(called.path, `${original}\n;globalThis.${TARGET} = () => ${target};\n`);
  const found = [];
  let problem = "no call ended in time";
  let endless = 0;
  for (let first = 0; first < MAX_INPUTS && endless < MAX_ENDLESS && Date.now() < deadline; ) {
    const { lines, ended } = await linesOf([jobsFile, number, at, first], deadline);
    for (const [position, text, result] of lines) {
      if (text === null) problem = result;
      else found.push([text, result]);
      first = position + 1;
    }
    if (ended) break;
    // The call that did not end in time is left out.
    first += 1;
    endless += 1;
  }
  fs.writeFileSync(called.path, original);
  found.sort(([a], [b]) => a.length - b.length);
  return found.length ? Object.fromEntries(found) : problem;
}

// The lines that a process reports until it ends, or is silent for too long.
function linesOf(argv, deadline) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [__filename, ...argv.map(String)], {
      stdio: ["ignore", "ignore", "ignore", "pipe"],
    });
    let timer;
    const watch = (seconds) => {
      clearTimeout(timer);
      timer = setTimeout(() => child.kill("SIGKILL"), Math.min(1_000 * seconds, deadline - Date.now()));
    };
    // Until the first call, for the import.
    watch(10 * CALL_SECONDS);
    let output = "";
    child.stdio[3].on("data", (data) => {
      output += data;
      watch(CALL_SECONDS);
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      const lines = output.split("\n").slice(0, -1).map((line) => JSON.parse(line));
      resolve({ lines, ended: code === 0 || !lines.length });
    });
  });
}

async function callAll({ path: file, kind, inputs }, first) {
  Error.stackTraceLimit = 0;
  const report = (...line) => fs.writeSync(3, `${JSON.stringify(line)}\n`);
  const printed = [];
  process.stdout.write = process.stderr.write = (text) => printed.push(String(text)) > 0;
  const { parameters, constructor, constants } = JSON.parse(inputs[0]);
  const fc = loaded("fast-check");
  const simple = simpleValues(fc, constants.map((constant) => eval(constant)));
  const one = fc.tuple(argumentsOf(fc, constructor, simple), argumentsOf(fc, parameters, simple));
  // A call may change its arguments: each gets values of its own.
  const samples = Array.from({ length: CALLS }, () => fc.sample(one, { seed: SEED, numRuns: MAX_INPUTS }));
  for (const sample of samples) {
    for (const number of EDGES.keys()) {
      parameters.forEach(({ types, rest }, position) => {
        if (!types.length && !rest) sample[number][1][position] = EDGES[(number + 3 * position) % EDGES.length];
      });
    }
  }
  try {
    await target(file);
  } catch (error) {
    report(MAX_INPUTS, null, `${NO_IMPORT}${error?.name}: ${String(error?.message).slice(0, 200)}`);
    return;
  }
  for (let at = first; at < MAX_INPUTS; at++) {
    const text = fc.stringify(samples[0][at][1]).replace(/^\[(.*)\]$/s, "($1)");
    printed.length = 0;
    const parts = [];
    try {
      const [owner, member] = await target(file);
      for (const [own, given] of samples.map((sample) => sample[at])) {
        await describeCall(parts, kind, owner, member, own, given);
      }
    } catch (error) {
      parts.push(`: raised ${raised(error)}`);
    }
    if (printed.length) parts.push(`printed ${inspect(printed.join("").slice(0, MAX_LENGTH))}`);
    report(at, text, parts.join("; ").slice(0, 4 * MAX_LENGTH));
  }
}

async function describeCall(parts, kind, owner, member, own, given) {
  calledBack.length = 0;
  try {
    let result;
    if (kind === "constructor") {
      result = new member(...given);
    } else if (kind === "method") {
      const instance = new owner(...own);
      result = await instance[member](...given);
      parts.push(`this ${description(instance)}`);
    } else {
      result = await (owner === undefined ? member(...given) : owner[member](...given));
    }
    if (typeof result?.next === "function") {
      const steps = [];
      for (let step; steps.length < 50 && !step?.done; steps.push(step)) step = await result.next();
      result = steps;
    }
    parts.push(`returned ${description(result)}`);
  } catch (error) {
    parts.push(`: raised ${raised(error)}`);
  }
  parts.push(`arguments ${description(given)}`, ...calledBack.map((call) => `called back with ${call}`));
}

function description(value) {
  return inspect(value, DESCRIBED).slice(0, MAX_LENGTH);
}

function raised(error) {
  // Its message quotes the source: "xs.indexOf is not a function".
  if (error instanceof TypeError) return "TypeError";
  return error instanceof Error ? `${error.name}: ${error.message}`.slice(0, MAX_LENGTH) : description(error);
}

// Evaluate the module anew, and return what the function is a property of, and its name or itself.
let evaluations = 0;
async function target(file) {
  const full = path.resolve(file);
  delete require.cache[full];
  const transform = transformer();
  try {
    await import(`${pathToFileURL(full)}?${evaluations++}`);
  } catch (error) {
    if (transform === undefined) throw error;
    for (const ending of [".js", ".jsx", ".mjs", ".ts", ".tsx", ".mts"]) {
      Module._extensions[ending] = (module, name) => module._compile(transform(name), name);
    }
    delete require.cache[full];
    require(full);
  }
  return globalThis[TARGET]();
}

// What turns TypeScript, JSX and modules into JavaScript that node reads, if the repository or the machine has it.
function transformer() {
  const esbuild = loaded("esbuild");
  if (esbuild !== undefined) {
    return (name) => {
      const loader = /\.[mc]?tsx?$/.test(name) ? (name.endsWith("x") ? "tsx" : "ts") : "jsx";
      return esbuild.transformSync(fs.readFileSync(name, "utf8"), { format: "cjs", loader, logLevel: "silent" }).code;
    };
  }
  const typescript = loaded("typescript");
  if (typescript?.transpileModule === undefined) return undefined;
  const compilerOptions = { module: "commonjs", target: "es2022", jsx: "react", esModuleInterop: true };
  return (name) =>
    typescript.transpileModule(fs.readFileSync(name, "utf8"), { fileName: name, compilerOptions }).outputText;
}

// A package of the repository, or one that is installed beside a program of PATH (npm install --global).
function loaded(name) {
  const programs = process.env.PATH.split(":");
  const paths = [process.cwd(), ...programs.map((folder) => path.join(folder, "..", "lib"))];
  try {
    return require(require.resolve(name, { paths }));
  } catch {
    return undefined;
  }
}

const calledBack = [];

function argumentsOf(fc, parameters, simple) {
  const values = parameters.map((parameter) => valuesOf(fc, parameter, simple));
  return fc.tuple(...values).map((given) => {
    const rest = parameters.at(-1)?.rest ? given.pop() : [];
    return [...given, ...rest];
  });
}

// Numbers and texts, with the constants of the function among them.
function simpleValues(fc, constants) {
  const numbers = constants.filter((value) => typeof value === "number").flatMap((value) => [value - 1, value, value + 1]);
  const words = constants.filter((value) => typeof value === "string");
  const parts = [...words, ..."abcXYZ019 _-./%{}\\'\"\n\té"];
  return {
    number: fc.oneof(
      fc.integer({ min: -3, max: 3 }),
      fc.integer({ min: -1e6, max: 1e6 }),
      fc.constantFrom(0.5, -0, NaN, ...numbers),
    ),
    text: fc.oneof(
      fc.array(fc.constantFrom(...parts), { maxLength: 8 }).map((own) => own.join("")),
      fc.constantFrom("", ...words),
    ),
  };
}

function valuesOf(fc, { types, literals, keys, called, optional, rest }, { number, text }) {
  const simple = fc.oneof(fc.constantFrom(null, undefined, true, false), number, text);
  const any = fc.oneof(
    simple,
    fc.array(number, { maxLength: 4 }),
    fc.array(text, { maxLength: 3 }),
    fc.array(simple, { maxLength: 4 }),
    fc.dictionary(text, simple, { maxKeys: 3 }),
    fc.array(fc.dictionary(text, simple, { maxKeys: 2 }), { maxLength: 3 }),
  );
  const typed = { number, string: text, boolean: fc.boolean(), null: fc.constant(null), undefined: fc.constant(undefined) };
  const ofType = (name) => (name.endsWith("[]") ? fc.array(typed[name.slice(0, -2)], { maxLength: 4 }) : typed[name]);
  const choices = types.length ? types.map(ofType) : [any];
  if (literals.length) {
    // Each gets a value of its own, which a call may change.
    choices.push(fc.constantFrom(...literals).map((literal) => eval(`(${literal})`)));
  }
  if (keys.length && !types.length) {
    choices.push(fc.record(Object.fromEntries(keys.map((key) => [key, any])), { requiredKeys: [] }));
  }
  if (called) choices.push(fc.constantFrom("x => x", "() => true", "() => undefined").map((source) => callback(fc, source)));
  if (optional) choices.push(fc.constant(undefined));
  const value = fc.oneof(...choices);
  return rest ? fc.array(value, { maxLength: 3 }) : value;
}

function callback(fc, source) {
  const own = eval(source);
  const recorded = (...given) => {
    calledBack.push(description(given));
    return own(...given);
  };
  return Object.defineProperties(recorded, { name: { value: source }, [fc.toStringMethod]: { value: () => source } });
}

main(process.argv.slice(2));
