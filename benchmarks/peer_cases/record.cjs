// Runs test files of ESLint rules with a tester that only records the cases: `node record.cjs FOLDER FILE...`.
//
// Prints one JSON object a line: {file, valid: [case], invalid: [case]}. Helpers within the folders of the tests are
// loaded; all else (the rule, parsers, other packages) is a stub that answers every use with itself.
"use strict";
const fs = require("node:fs");
const Module = require("node:module");
const path = require("node:path");

const [folder, ...files] = process.argv.slice(2);
const typescript = require(path.join(folder, "node_modules", "typescript"));
const TESTS = /[\\/](tests?|__tests__)[\\/]/;
let current;

class Recorder {
  constructor(options) {
    this.options = options;
  }

  run(...given) {
    record(given.at(-1), this.options);
  }
}

function record(cases, options) {
  const { valid = [], invalid = [], testerOptions } = cases;
  console.log(JSON.stringify({ file: current, options: options ?? testerOptions ?? {}, valid, invalid }));
}

// `name` is what it stands for, so that the parser of a case can be read from it.
function stub(name = "") {
  const target = function () {};
  return new Proxy(target, {
    // A value that is converted to a text or a number, spread or awaited must not answer with a stub.
    get: (_, property) =>
      property === Symbol.iterator ? () => [][Symbol.iterator]()
      : property === "then" ? undefined
      : property === "toJSON" ? () => name
      : property === Symbol.toPrimitive ? () => ""
      : stub(name),
    apply: () => stub(name),
    construct: () => stub(name),
  });
}

// A template that is indented as the code around it, as outdent and dedent read it.
function dedent(strings, ...values) {
  if (!Array.isArray(strings?.raw)) return (...given) => dedent(...given);
  const text = strings.reduce((text, part, at) => text + values[at - 1] + part);
  const lines = text.split("\n");
  if (!lines[0].trim()) lines.shift();
  if (lines.length && !lines.at(-1).trim()) lines.pop();
  const indents = lines.filter((line) => line.trim()).map((line) => line.match(/^\s*/)[0].length);
  const indent = Math.min(...indents);
  return lines.map((line) => line.slice(indent)).join("\n");
}

const tester = Object.assign((cases) => record(cases), {
  snapshot: (cases) => record({ ...cases, invalid: cases.invalid.map((code) => ({ code: code.code ?? code, snapshot: true })) }),
  only: (code) => code,
});
const unicorn = new Proxy(tester, { get: (target, name) => target[name] ?? ((cases) => record(cases)) });
// Parsers of other languages are named, so that their cases can be left out.
const parsers = new Proxy({}, { get: (_, name) => ({ name: String(name) }) });
const all = (cases) => cases.flat();
const STUBS = [
  [/^eslint$|rule-?tester|RuleTester/i, { default: Recorder, RuleTester: Recorder, noFormat: String.raw, createRuleTesterWithTypes: () => new Recorder() }],
  [/utils\/test\.js$/, { getTester: () => ({ test: unicorn, rule: stub() }), parsers, avoidTestTitleConflict: (cases) => cases, normalizeTestCase: (code) => code }],
  [/helpers\/parsers$/, { all, ...Object.fromEntries(["BABEL_ESLINT", "TYPESCRIPT_ESLINT", "@BABEL_ESLINT"].map((name) => [name, name])) }],
  [/^(outdent|dedent|strip-indent)$/, { default: dedent, outdent: dedent }],
];

Module.prototype.require = function (request) {
  return typeof request === "string" ? Module._load(request, this, false) : stub();
};
const load = Module._load;
Module._load = function (request, parent, isMain) {
  const found = STUBS.find(([pattern]) => pattern.test(request));
  if (found) {
    const [, value] = found;
    // A CommonJS test takes the module itself as the tester.
    return value.default === Recorder
      ? Object.assign(class extends Recorder {}, value, { __esModule: true })
      : Object.assign(value.default ?? {}, value, { __esModule: true });
  }
  if (Module.builtinModules.includes(request.replace(/^node:/, ""))) return load(request, parent, isMain);
  if (request.startsWith(".")) {
    const target = path.resolve(path.dirname(parent.filename), request);
    const existing = ["", ".js", ".ts", ".json", "/index.js"].map((end) => target + end).find((name) => fs.statSync(name, { throwIfNoEntry: false })?.isFile());
    if (existing && (TESTS.test(existing) || /[\\/]utils[\\/](builtins|.*methods)\.js$/.test(existing))) return load(existing, parent, isMain);
  }
  return stub(request);
};

for (const ending of [".js", ".ts"]) {
  Module._extensions[ending] = (module, filename) => {
    const { outputText } = typescript.transpileModule(fs.readFileSync(filename, "utf8"), {
      compilerOptions: { module: "commonjs", target: "es2022", esModuleInterop: true, allowJs: true },
    });
    module._compile(outputText.replaceAll("import.meta", "{}"), filename);
  };
}

for (const file of files) {
  current = file;
  try {
    load(path.resolve(file), module, false);
  } catch (error) {
    console.error(`${file}: ${error.message.split("\n")[0]}`);
    process.exitCode = 1;
  }
}
