"use strict";
// Everything here is a comfort: each page works without it.

// Times in the zone of the person.
for (const t of document.querySelectorAll("time[datetime]")) {
  const when = new Date(t.dateTime);
  if (isNaN(when)) continue;
  const today = when.toDateString() === new Date().toDateString();
  const day = today ? {} : { day: "numeric", month: "short", year: "numeric" };
  t.title = t.textContent;
  t.textContent = (today ? "today, " : "") + when.toLocaleString(undefined,
    { ...day, hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
}

// A form for the identity provider goes by itself.
const send = document.querySelector("form[data-send]");
if (send) send.requestSubmit();

for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const said = document.getElementById("copied");
    try {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      said.textContent = "Copied.";
      button.classList.add("done");
    } catch {
      said.textContent = "The browser did not allow copying.";
    }
    setTimeout(() => { said.textContent = ""; button.classList.remove("done"); }, 2000);
  });
}

const tools = document.querySelector("form[data-tools]");
if (tools) portal(tools);

function portal(tools) {
  const query = tools.elements.q;
  const count = document.getElementById("count");
  const original = count.textContent;
  document.documentElement.classList.add("script");

  // What the picker says goes with each click.
  document.addEventListener("submit", (e) => {
    if (e.target.getAttribute("action") !== "/console") return;
    for (const name of ["destination", "region"]) {
      const select = tools.elements[name];
      if (!select) continue;
      let input = e.target.elements[name];
      if (!input) {
        input = document.createElement("input");
        input.type = "hidden";
        input.name = name;
        e.target.append(input);
      }
      input.value = fits(e.target, select) ? select.value : "";
    }
  });

  // A region goes to accounts of its own partition only.
  function fits(form, select) {
    if (select.name !== "region" || !select.value) return true;
    const group = select.selectedOptions[0].parentElement.label;
    return (form.closest("section").dataset.partition || "aws") === group;
  }

  function filter() {
    const terms = words();
    let shown = 0;
    for (const section of document.querySelectorAll("#results section")) {
      const head = section.querySelector("header").textContent.toLowerCase();
      let some = false;
      for (const row of section.querySelectorAll(".roles > li")) {
        const text = head + " " + row.querySelector("h3").textContent.toLowerCase();
        row.hidden = !terms.every((t) => text.includes(t));
        if (!row.hidden) { some = true; shown++; }
      }
      section.hidden = !some;
    }
    const total = document.querySelectorAll("#results .roles > li").length;
    count.textContent = terms.length === 0 ? original
      : shown === 0 ? "Nothing matches “" + query.value.trim() + "”." : shown + " of " + total + " roles match.";
  }

  function words() {
    return query.value.toLowerCase().split(/\s+/).filter(Boolean).map((t) => t.replace("=", ": "));
  }

  let timer, running;
  function ask() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const url = "/?" + new URLSearchParams(new FormData(tools));
      if (running) running.abort();
      running = new XMLHttpRequest();
      running.responseType = "document";
      running.onload = () => {
        const doc = running.response;
        if (running.status !== 200 || !doc || !doc.getElementById("results")) return location.assign(url);
        for (const id of ["results", "count"]) {
          document.getElementById(id).replaceChildren(...doc.getElementById(id).childNodes);
        }
        history.replaceState(null, "", url);
      };
      running.open("GET", url);
      running.send();
    }, 200);
  }

  // All rows here: the page answers by itself. Else the server does.
  const complete = "complete" in tools.dataset && !query.value;
  query.addEventListener("input", complete ? filter : ask);
  tools.addEventListener("submit", (e) => {
    e.preventDefault();
    if (complete) filter(); else ask();
  });
  if (query.value && complete) filter();
}
