// Runs scripts, each in a context of its own, and prints a list with what each of them logged.
const vm = require("vm");

async function run(code) {
  const lines = [];
  const log = (...values) => lines.push(values.map(String).join(" "));
  try {
    vm.runInNewContext(code, { console: { log }, Buffer, setImmediate, RangeError });
    for (let turn = 0; turn < 5; turn += 1) { await new Promise(setImmediate); }
  } catch (error) {
    log(error.name);
  }
  return lines;
}

let input = "";
process.stdin.on("data", (data) => { input += data; });
process.stdin.on("end", async () => {
  const results = [];
  for (const code of JSON.parse(input)) { results.push(await run(code)); }
  console.log(JSON.stringify(results));
});
