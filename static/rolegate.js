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

// The end of the session is told before it comes.
const renew = document.getElementById("renew");
if (renew) {
  const link = renew.querySelector("a");
  link.search = "?" + new URLSearchParams({ return_to: location.pathname + location.search });
  const before = new Date(renew.dataset.ends) - Date.now() - 5 * 60 * 1000;
  if (before > 0 && before < 2 ** 31) setTimeout(() => { renew.hidden = false; }, before);
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

  // A star changes in its place; the shelf is made anew.
  document.addEventListener("submit", async (e) => {
    const star = e.submitter;
    if (!star || !star.classList.contains("star")) return;
    e.preventDefault();
    const id = e.target.elements.assignment.value;
    const body = new URLSearchParams({ assignment: id, on: star.value });
    const answer = await fetch("/favourites", { method: "POST", body, headers: { "X-Requested-With": "fetch" }, redirect: "error" }).catch(() => null);
    if (!answer || !answer.ok) return location.reload();
    const on = star.value === "1";
    for (const form of document.querySelectorAll("#results form")) {
      if (form.elements.assignment.value !== id) continue;
      const other = form.querySelector(".star");
      other.setAttribute("aria-pressed", on);
      other.value = on ? "0" : "1";
    }
    const page = new XMLHttpRequest();
    page.responseType = "document";
    page.onload = () => {
      const shelf = page.response && page.response.getElementById("shelf");
      if (!shelf) return;
      const inside = star.closest("#shelf");
      document.getElementById("shelf").replaceChildren(...shelf.childNodes);
      if (inside) query.focus();
    };
    page.open("GET", "/");
    page.send();
  });

  // A region goes to accounts of its own partition only.
  function fits(form, select) {
    if (select.name !== "region" || !select.value) return true;
    const partition = select.selectedOptions[0].parentElement.label;
    return (form.closest("[data-partition]")?.dataset.partition || "aws") === partition;
  }

  function filter() {
    const terms = words();
    let shown = 0;
    for (const section of document.querySelectorAll("#results section")) {
      const head = section.querySelector("header").textContent.toLowerCase();
      let some = false;
      for (const row of section.querySelectorAll(".roles > li")) {
        const text = head + " " + row.querySelector(".rn").textContent.toLowerCase();
        row.hidden = !terms.every((t) => text.includes(t));
        if (!row.hidden) { some = true; shown++; }
      }
      section.hidden = !some;
    }
    for (const group of document.querySelectorAll("#results .group")) {
      group.hidden = !group.querySelector("section:not([hidden])");
    }
    document.getElementById("shelf").hidden = terms.length > 0;
    const total = document.querySelectorAll("#results .roles > li").length;
    count.textContent = terms.length === 0 ? original
      : shown === 0 ? "Nothing matches “" + query.value.trim() + "”." : shown + " of " + total + " roles match.";
  }

  function words() {
    return query.value.toLowerCase().split(/\s+/).filter(Boolean).map((t) => t.replace("=", ": "));
  }

  // One question at a time, and what was typed meanwhile is the next one.
  let running, again;
  function ask() {
    if (running) { again = true; return; }
    again = false;
    const url = "/?" + new URLSearchParams(new FormData(tools));
    running = new XMLHttpRequest();
    running.responseType = "document";
    running.onload = () => {
      const { response: doc, status } = running;
      running = null;
      if (again) return ask();
      if (status !== 200 || !doc || !doc.getElementById("results")) return location.assign(url);
      for (const id of ["shelf", "results", "count"]) {
        document.getElementById(id).replaceChildren(...doc.getElementById(id).childNodes);
      }
      history.replaceState(null, "", url);
    };
    running.onerror = () => { running = null; if (again) ask(); };
    running.open("GET", url);
    running.send();
  }

  // All rows here: the page answers by itself. Else the server does.
  const complete = "complete" in tools.dataset && !query.value;
  query.addEventListener("input", complete ? filter : ask);
  const group = tools.elements.group;
  if (group) group.addEventListener("change", () => location.assign("/?" + new URLSearchParams(new FormData(tools))));
  tools.addEventListener("submit", (e) => {
    e.preventDefault();
    if (complete) filter(); else ask();
  });
  if (query.value && complete) filter();
}
