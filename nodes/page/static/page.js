// Keeps what is shown up to date, and says since when it is not. Nothing else needs a script: the page works without.
"use strict";
(() => {
  const SILENT_MS = 8000; // the server says something every few seconds
  const CHECK_MS = 1000;
  const status = document.getElementById("status");
  let heard = Date.now();
  let lost = false;

  const morph = (id, html) => {
    Idiomorph.morph(document.getElementById(id), html, {
      morphStyle: "outerHTML",
      callbacks: {
        // What somebody unfolded stays unfolded.
        beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS"),
      },
    });
  };

  const source = new EventSource("/events?of=" + encodeURIComponent(location.pathname + location.search));
  source.addEventListener("page", (event) => {
    heard = Date.now();
    lost = false;
    const { main, status: said, title } = JSON.parse(event.data);
    if (said !== null) morph("status", said);
    if (main !== null) morph("main", main);
    if (title) document.title = title;
  });
  source.addEventListener("alive", () => { heard = Date.now(); });

  setInterval(() => {
    if (lost || Date.now() - heard < SILENT_MS) return;
    lost = true;
    const since = new Date(heard).toISOString().slice(11, 19);
    const words = document.createElement("p");
    words.className = "old";
    words.textContent = `The page's own process has not answered since ${since} UTC: this picture is of then.`;
    status.replaceChildren(words);
  }, CHECK_MS);
})();
