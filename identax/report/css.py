"""The style sheet of the report page: light and dark, from a phone to a wide screen, and in print."""

CSS = """\
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1b1f24; --soft: #5b6472; --line: #e3e6eb; --wash: #f2f4f7;
  --accent: #0072b2; --good: #00724f; --good-wash: #e3f5ee; --bad: #b04400; --bad-wash: #fdeee3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1216; --card: #181c22; --ink: #e6e9ee; --soft: #9aa4b2; --line: #2b313a; --wash: #20262e;
    --accent: #56b4e9; --good: #4fd0a5; --good-wash: #12302a; --bad: #ff9d5c; --bad-wash: #3a2314;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 44px 28px 72px; }
header { margin-bottom: 26px; }
h1 { font-size: 2rem; line-height: 1.2; letter-spacing: -0.02em; margin: 0 0 6px; text-wrap: balance; }
h2 { font-size: 1.1rem; letter-spacing: -0.005em; margin: 0 0 14px; }
p { margin: 0 0 12px; max-width: 74ch; }
.lead { font-size: 1.05rem; color: var(--soft); max-width: 96ch; }
.key { color: var(--soft); font-size: 0.84rem; margin-top: 12px; }
.facts { display: flex; flex-wrap: wrap; gap: 4px 0; font-size: 0.85rem; color: var(--soft); margin: 0; }
.facts span:not(:last-child)::after { content: "·"; margin: 0 9px; }
code { font: 0.9em ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono", monospace;
  background: var(--wash); border-radius: 4px; padding: 1px 4px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 22px 24px; margin: 0 0 20px; min-width: 0; }
section > :last-child, .columns section > :last-child { margin-bottom: 0; }

.verdict { display: flex; gap: 16px; align-items: flex-start; border-radius: 12px; padding: 18px 22px;
  margin: 0 0 20px; background: var(--wash); border: 1px solid var(--line); }
.verdict strong { font-size: 1.3rem; line-height: 1.35; letter-spacing: -0.01em; }
.verdict .sign { flex: none; width: 34px; height: 34px; border-radius: 50%; display: grid;
  place-items: center; font-weight: 700; color: var(--card); background: var(--soft); }
.verdict ul { margin: 4px 0 0; padding: 0; list-style: none; font-size: 0.94rem; }
.verdict.good { background: var(--good-wash); border-color: transparent; }
.verdict.good .sign { background: var(--good); }
.verdict.bad { background: var(--bad-wash); border-color: transparent; }
.verdict.bad .sign { background: var(--bad); }

table { border-collapse: collapse; width: 100%; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: 8px; }
th { text-align: left; font-weight: 600; font-size: 0.8rem; color: var(--soft); white-space: nowrap;
  border-bottom: 1px solid var(--line); padding: 6px 14px 6px 0; vertical-align: bottom; }
td { border-bottom: 1px solid var(--line); padding: 8px 14px 8px 0; vertical-align: top; }
tr:last-child > td { border-bottom: 0; }
th:last-child, td:last-child { padding-right: 0; }
.scroll { overflow-x: auto; margin-bottom: 16px; }
.scroll td.number { white-space: nowrap; }
tr.failed td { background: var(--bad-wash); }
td small { display: block; color: var(--soft); font-size: 0.84rem; line-height: 1.4; max-width: 46ch;
  margin-top: 2px; }
.n { color: var(--soft); font-size: 0.82rem; white-space: nowrap; }
.cards b { font-weight: 600; white-space: nowrap; }
.mark { display: inline-block; white-space: nowrap; border-radius: 99px; padding: 1px 10px;
  font-size: 0.82rem; font-weight: 600; color: var(--soft); background: var(--wash); }
.mark.good { color: var(--good); background: var(--good-wash); }
.mark.bad { color: var(--bad); background: var(--bad-wash); }
.strip { display: block; width: 120px; height: 14px; margin-top: 5px; }
.strip .rail { stroke: var(--soft); stroke-width: 1; opacity: 0.35; }
.strip .band { fill: var(--soft); opacity: 0.28; }
.strip .whisker { stroke: var(--ink); stroke-width: 1.5; }
.strip .good { fill: var(--good); }
.strip .bad { fill: var(--bad); }

.figures { display: flex; flex-wrap: wrap; gap: 26px 24px; margin-top: 6px; }
figure { margin: 0; flex: 1 1 440px; min-width: 0; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 8px;
  padding: 8px; border: 1px solid var(--line); }
figcaption { color: var(--soft); font-size: 0.88rem; line-height: 1.45; margin-top: 8px; }

.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 20px;
  align-items: start; }
.columns section { margin: 0; }
dl { margin: 0; font-size: 0.88rem; }
dl div { display: flex; gap: 16px; justify-content: space-between; padding: 5px 0;
  border-bottom: 1px solid var(--line); }
dl div:last-child { border-bottom: 0; }
dt { color: var(--soft); }
dd { margin: 0; text-align: right; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.timebar { height: 12px; border-radius: 6px; overflow: hidden; background: var(--accent); }
.timebar i { display: block; height: 100%; background: var(--soft); border-right: 2px solid var(--card); }
.timekey { display: flex; justify-content: space-between; font-size: 0.88rem; margin: 6px 0 12px; }

@media (max-width: 640px) {
  main { padding: 24px 14px 48px; }
  h1 { font-size: 1.55rem; }
  section { padding: 18px 16px; border-radius: 10px; }
  .columns { grid-template-columns: 1fr; }
  figure { flex-basis: 100%; }
  figure img { padding: 4px; }
  .cards thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .cards, .cards tbody, .cards tr, .cards td { display: block; }
  .cards tr { padding: 12px 0; border-bottom: 1px solid var(--line); }
  .cards tr:first-child { padding-top: 0; }
  .cards tr:last-child { border-bottom: 0; padding-bottom: 0; }
  .cards td { border: 0; padding: 2px 0; display: grid; grid-template-columns: 64px 1fr; gap: 0 10px; }
  .cards td > * { grid-column: 2; justify-self: start; }
  .cards td::before { content: attr(data-label); color: var(--soft); font-size: 0.82rem; }
  .cards td:first-child { display: block; font-weight: 600; padding-bottom: 4px; }
  .cards td:first-child small { font-weight: 400; max-width: none; }
  .cards td:first-child::before { content: none; }
}
@media print {
  body { background: #fff; font-size: 11pt; }
  main { max-width: none; padding: 0; }
  section, .verdict, figure, tr { break-inside: avoid; }
}
"""
