"""The style of a call's page: readable in light and dark, on a telephone and on paper. CORE."""

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2024; --soft: #5b6570; --line: #d9dee3; --box: #f5f7f9;
  --caller: #1769aa; --agent: #9a3f8f; --unheard: #d6b3d1; --detection: #6b7f93; --model: #c27c0e; --tools: #2c8a57;
  --held: #b9a23a; --service: #0b7f83; --bad: #b3261e; --good: #1f7a44; --gap: #a86a00; }
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --ink: #e6e9ec; --soft: #9aa5b0; --line: #343b42; --box: #1d2226;
  --caller: #63b3f2; --agent: #dd8fd2; --unheard: #5d4159; --detection: #8b9caf; --model: #e3a63f; --tools: #5cc28a;
  --held: #d8c860; --service: #4fc3c4; --bad: #ff8a80; --good: #6fd49a; --gap: #e3a63f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2rem 0 .6rem; }
h3 { font-size: .9rem; margin: 1rem 0 .3rem; color: var(--soft); }
p { margin: 0; } small { font-size: .85em; color: var(--soft); }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
a { color: inherit; }
header .outcome { margin: .25rem 0 1rem; } .outcome.good b { color: var(--good); }
.outcome.bad, .bad { color: var(--bad); } .outcome.live b { color: var(--caller); }
dl { display: flex; flex-wrap: wrap; gap: .5rem 1.75rem; margin: 0 0 1rem; }
dt { font-size: .8rem; color: var(--soft); }
dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
dl.facts { background: var(--box); border: 1px solid var(--line); border-radius: 8px; padding: .7rem 1rem; }
dl.facts dd { font-size: 1.15rem; font-weight: 600; }
.slow { border-left: 4px solid var(--bad); padding: .1rem 0 .1rem 1rem; margin-top: 1.5rem; }
.slow h2 { margin: 0; color: var(--bad); } .slow ul { margin: .2rem 0; padding-left: 1.1rem; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; list-style: none; margin: 0 0 .5rem; padding: 0;
  font-size: .82rem; color: var(--soft); }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .35em; }
.strips svg { display: block; width: 100%; height: auto; border: 1px solid var(--line); border-radius: 6px;
  margin-bottom: .5rem; background: var(--box); break-inside: avoid; }
svg .grid { stroke: var(--line); stroke-width: .7; } svg .axis { stroke: var(--soft); stroke-width: 1; }
svg .tick { font: 11px system-ui, sans-serif; fill: var(--soft); }
svg .wave.caller { fill: var(--caller); } svg .wave.agent { fill: var(--agent); }
.key.caller { background: var(--caller); } .key.agent { background: var(--agent); }
.key.unheard { background: var(--unheard); } .key.detection, .wait .detection { background: var(--detection); }
.key.model, .wait .model { background: var(--model); } .key.tools, .wait .tools { background: var(--tools); }
.key.held, .wait .held { background: var(--held); }
.key.service, .wait .service { background: var(--service); } .key.error { background: var(--bad); }
.key.gap { background: var(--gap); }
svg .block.caller { fill: var(--caller); } svg .block.agent { fill: var(--agent); }
svg .block.unheard { fill: var(--unheard); } svg .block.tools, svg .part.tools { fill: var(--tools); }
svg .block.error { fill: var(--bad); } svg .part.detection { fill: var(--detection); }
svg .part.model { fill: var(--model); } svg .part.held { fill: var(--held); }
svg .part.service { fill: var(--service); }
svg .ms { font: 600 12px system-ui, sans-serif; fill: var(--soft); text-anchor: end; }
svg .ms.slow { fill: var(--bad); }
svg .cut { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 4 3; }
svg path.mark { fill: var(--bad); } svg line.mark { stroke: var(--bad); stroke-width: 1; }
svg path.mark.gap { fill: var(--gap); } svg line.mark.gap { stroke: var(--gap); }
svg path.mark.waiting_prompt { fill: var(--tools); } svg line.mark.waiting_prompt { stroke: var(--tools); }
.talk { list-style: none; margin: 0; padding: 0; }
.talk li { display: grid; grid-template-columns: 4rem 4.5rem 1fr; gap: .75rem; padding: .45rem .5rem;
  border-top: 1px solid var(--line); break-inside: avoid; }
.talk li:target { background: var(--box); outline: 2px solid var(--line); }
.at { color: var(--soft); font-variant-numeric: tabular-nums; text-align: right; }
.side { font-weight: 600; } .caller .side { color: var(--caller); } .agent .side { color: var(--agent); }
.tool .side { color: var(--tools); } .note { color: var(--soft); } .note.error, .note.error .side { color: var(--bad); }
.note.gap, .note.gap .side { color: var(--gap); }
.said { white-space: pre-wrap; overflow-wrap: anywhere; }
.said s { color: var(--soft); }
.cut { color: var(--gap); font-size: .88rem; }
.note p { overflow-wrap: anywhere; }
.latency { font-size: .88rem; } .latency strong { color: var(--bad); display: block; }
.wait { display: inline-flex; height: .65em; border-radius: 3px; overflow: hidden; margin-right: .6em; }
.wait i { display: block; height: 100%; }
.payload code { white-space: pre-wrap; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem 1.5rem .25rem 0; border-bottom: 1px solid var(--line);
  font-weight: normal; }
thead th { color: var(--soft); font-size: .85rem; }
.n { text-align: right; } thead th:nth-child(n+3) { text-align: right; }
@media (max-width: 40rem) { .talk li { grid-template-columns: 3.2rem 1fr; } .talk li > div { grid-column: 1 / -1; }
  .strips { overflow-x: auto; } .strips svg { min-width: 44rem; } }
@media print { @page { margin: 14mm; } body { font-size: 10.5pt; } main { max-width: none; padding: 0; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } h2 { break-after: avoid; } }
"""
