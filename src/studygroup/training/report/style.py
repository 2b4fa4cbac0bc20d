"""The report's style sheet: system fonts, light and dark, narrow windows."""

STYLE = """
:root{color-scheme:light dark;--paper:#fdfdfb;--ink:#1d2327;--soft:#5d676e;--line:#d9dedb;--card:#f3f5f2;
--student:#9db4c4;--main:#14629c;--second:#c2571a;--third:#3d7d4f}
@media(prefers-color-scheme:dark){:root{--paper:#15191c;--ink:#e4e8e6;--soft:#98a3a9;--line:#333b40;
--card:#1d2327;--student:#5f7d92;--main:#6db8ef;--second:#f0955c;--third:#7fc793}}
*{box-sizing:border-box}
body{background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif;max-width:62rem;margin:0 auto;
padding:2rem 1.25rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .8rem}h2{font-size:1.15rem;margin:2.4rem 0 .7rem}
p{max-width:46rem}
.said{border-left:4px solid var(--main);background:var(--card);padding:.7rem 1rem;font-weight:600}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.3rem 1.4rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}
tbody th{font-weight:400}thead th{color:var(--soft);font-weight:600;font-size:.85rem}
pre{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.8rem 1rem;overflow-x:auto;
font-size:.85rem}
code{overflow-wrap:anywhere}
.charts{display:grid;gap:1.2rem;grid-template-columns:repeat(auto-fit,minmax(min(22rem,100%),1fr))}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.8rem}
figcaption{font-weight:600}
svg{width:100%;height:auto;display:block}
svg text{fill:var(--soft);font-size:11px;font-family:inherit}
svg .up{text-anchor:end}svg .across{text-anchor:middle}
svg .grid{stroke:var(--line);stroke-width:1}
svg polyline{fill:none;stroke-width:2;stroke-linejoin:round;stroke:currentColor}
svg polyline.student{stroke-width:1.2}svg circle{fill:currentColor}
.student{color:var(--student)}.main{color:var(--main)}.second{color:var(--second)}.third{color:var(--third)}
.legend{font-size:.8rem;display:flex;gap:1rem;flex-wrap:wrap}
.legend span{color:var(--ink)}
.legend span::before{content:"";display:inline-block;width:1.2em;height:.2em;vertical-align:middle;margin-right:.4em}
.legend .student::before{background:var(--student)}.legend .main::before{background:var(--main)}
.legend .second::before{background:var(--second)}.legend .third::before{background:var(--third)}
"""
