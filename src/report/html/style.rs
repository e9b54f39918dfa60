//! The page's style sheet.

/// Colours come in pairs, chosen for a contrast of at least 4.5 to 1 on their background.
pub(super) const CSS: &str = r#"
:root{color-scheme:light dark;--bg:#f7f7f5;--card:#fff;--ink:#1d2125;--dim:#5c656d;--line:#e3e4e1;
--code:#f1f1ee;--pass:#15703f;--pass-bg:#e3f3e9;--fail:#b3261e;--fail-bg:#fbe9e7;--warn:#8a5300;
--warn-bg:#fcf0d9;--open:#5a4b9c;--open-bg:#edeafa;--note:#4a5a68;--note-bg:#e9eef2;--watch:#eef0f3;
--mono:ui-monospace,SFMono-Regular,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace}
@media (prefers-color-scheme:dark){:root{--bg:#14171a;--card:#1c2024;--ink:#e6e8ea;--dim:#9aa4ad;
--line:#2e343a;--code:#262b30;--pass:#5cc78e;--pass-bg:#16352a;--fail:#ff8f84;--fail-bg:#431f1d;
--warn:#f0b45a;--warn-bg:#3b2c12;--open:#b8a8f5;--open-bg:#2c2646;--note:#a9bac8;--note-bg:#27313a;
--watch:#242a30}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",
Roboto,"Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}
body>*{max-width:62rem;margin-inline:auto;padding-inline:1.25rem}
p,ul,dl,h1,h2,h3,figure,pre{margin:0;padding:0}
code,pre{font-family:var(--mono);font-size:.86em;overflow-wrap:anywhere}
.top{padding-block:3rem 1.75rem}
.brand{font-weight:600;letter-spacing:.02em;color:var(--dim);font-size:.95rem}
h1{font-size:clamp(1.6rem,5vw,2.25rem);line-height:1.2;letter-spacing:-.015em;margin-block:.35rem .5rem;
font-weight:650}
.top.fail h1{color:var(--fail)}.top.pass h1{color:var(--pass)}
.meta,.small,.outcome{color:var(--dim)}.small{font-size:.85rem}
.badge{display:inline-block;border-radius:99px;padding:.1rem .6rem;font-size:.78rem;font-weight:600;
line-height:1.5;white-space:nowrap;background:var(--note-bg);color:var(--note)}
.badge.pass{background:var(--pass-bg);color:var(--pass)}.badge.fail{background:var(--fail-bg);color:var(--fail)}
.badge.warn{background:var(--warn-bg);color:var(--warn)}.badge.open{background:var(--open-bg);color:var(--open)}
.overview{list-style:none;background:var(--card);border:1px solid var(--line);border-radius:12px;
overflow:hidden;margin-bottom:1.75rem}
.overview li+li{border-top:1px solid var(--line)}
.overview a{display:grid;grid-template-columns:7.2rem minmax(6rem,auto) 1fr auto;gap:.25rem 1rem;
align-items:center;padding:.6rem 1rem;color:inherit;text-decoration:none}
.overview a:hover{background:var(--code)}
.overview .badge{justify-self:start}.overview strong{font-weight:600;overflow-wrap:anywhere}
.what,.time{color:var(--dim);font-size:.92rem}.time{font-variant-numeric:tabular-nums}
a:focus-visible,summary:focus-visible,pre:focus-visible{outline:2px solid var(--open);outline-offset:-2px}
.spec{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1.5rem;
margin-bottom:1.75rem;scroll-margin-top:1rem}
.spec>header{display:flex;flex-wrap:wrap;gap:.3rem .75rem;align-items:center}
h2{font-size:1.3rem;line-height:1.3;font-weight:650;overflow-wrap:anywhere}
.outcome{flex-basis:100%}
.facts{display:flex;flex-wrap:wrap;gap:.35rem 1.75rem;flex-basis:100%;font-size:.9rem;margin-top:.35rem}
.facts dt{color:var(--dim);font-size:.8rem}.facts dd{margin:0;overflow-wrap:anywhere}
.callout{margin-top:1.1rem;padding:.85rem 1.1rem;border-radius:8px;background:var(--open-bg);
overflow-wrap:anywhere}
.callout .help{margin-top:.3rem;color:var(--ink)}
.findings{list-style:none;margin-top:1.25rem}
.findings li{border-left:3px solid var(--note);padding:.15rem 0 .15rem 1.1rem}
.findings li+li{margin-top:1.5rem}
.findings li.fail{border-color:var(--fail)}.findings li.warn{border-color:var(--warn)}
.rule{display:flex;flex-wrap:wrap;gap:.25rem .6rem;align-items:center}
.port{font-variant-numeric:tabular-nums}
.message{margin-top:.3rem;overflow-wrap:anywhere}
.help{color:var(--dim);overflow-wrap:anywhere}.help b{font-weight:600;color:var(--ink);margin-right:.3em}.findings .small{margin-top:.35rem}
.findings p code,.callout code{background:var(--code);border-radius:4px;padding:.05em .3em}
.rule>code{font-weight:600;background:none!important;padding:0!important}
pre{background:var(--code);border-radius:8px;padding:.7rem .9rem;overflow-x:auto;white-space:pre;
overflow-wrap:normal;line-height:1.5}
pre.source{margin-top:.6rem}.where{color:var(--dim)}
h3{font-size:.95rem;font-weight:650;margin-block:1.75rem .5rem}
.scroll{overflow-x:auto}
table{width:100%;border-collapse:collapse;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.5rem .75rem .5rem 0;border-bottom:1px solid var(--line)}
thead th{color:var(--dim);font-weight:500;font-size:.8rem;padding-top:0}
tbody tr:last-child>*{border-bottom:0}
td:nth-child(3) code{white-space:nowrap}tbody th{font-weight:600;white-space:nowrap;font-variant-numeric:tabular-nums}
tbody th::before{content:"";display:inline-block;width:.55rem;height:.55rem;border-radius:50%;
margin-right:.55rem;background:var(--pass)}
tr.fail th::before{background:var(--fail)}tr.warn th::before{background:var(--warn)}
tr.note th::before{background:var(--note)}
.aside{display:block;color:var(--dim);overflow-wrap:anywhere}.no{color:var(--dim)}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.timeline{display:block;overflow:visible}
.timeline text{font-size:12.5px;fill:var(--ink);font-family:inherit}
.timeline g text{paint-order:stroke;stroke:var(--card);stroke-width:3px;stroke-linejoin:round}
.timeline .label{font-weight:600;font-variant-numeric:tabular-nums}
.timeline .dim{fill:var(--dim);font-weight:400;font-size:12px}
.timeline .watch{fill:var(--watch)}.timeline .axis{stroke:var(--line)}
.timeline .mark{stroke:var(--dim);stroke-dasharray:3 3}
.timeline .bar{fill:var(--pass)}.timeline .fail .bar{fill:var(--fail)}
.timeline .warn .bar{fill:var(--warn)}.timeline .note .bar{fill:var(--note)}
.timeline .lost{stroke:var(--fail);stroke-width:2}
figcaption{margin-top:.35rem}
details{margin-top:1.1rem;border-top:1px solid var(--line);padding-top:.85rem}
summary{cursor:pointer;font-weight:600;font-size:.95rem}
details>:not(summary){margin-top:.75rem}
details .facts{gap:.6rem 1.75rem}
footer{color:var(--dim);font-size:.85rem;padding-block:.25rem 3rem;overflow-wrap:anywhere}
@media (max-width:40rem){
body>*{padding-inline:.85rem}.top{padding-block:1.75rem 1.1rem}.spec{padding:1.1rem}
.overview a{grid-template-columns:auto 1fr auto}.overview .what{grid-column:1/-1;grid-row:2}
.scroll{overflow:visible}
table,tbody,tr,th,td{display:block;width:100%}thead{position:absolute;width:1px;height:1px;overflow:hidden;
clip-path:inset(50%)}
tbody tr{padding-block:.7rem;border-bottom:1px solid var(--line)}tbody tr:last-child{border-bottom:0}
tbody th,td{border:0;padding:.1rem 0}
td{display:grid;grid-template-columns:6.2rem 1fr}
td::before{content:attr(data-label);color:var(--dim)}
}
@media print{body{background:#fff}.spec,.overview{break-inside:avoid;border-color:#ccc}}
"#;
