// Small comforts of the portal. Every page works without them; nothing here decides or stores anything.
"use strict";
(() => {
  const unsent = new Set();
  const all = (selector, root = document) => root.querySelectorAll(selector);
  const toast = (text) => {
    const place = document.getElementById("toast");
    if (!place || !text) return;
    place.textContent = text;
    clearTimeout(toast.timer);
    toast.timer = setTimeout(() => { place.textContent = ""; }, 8000);
  };

  // What stands newly in the page, after loading it or after htmx has put a piece into it.
  const arrive = (root) => {
    const summary = root.querySelector("[data-focus]");
    if (summary) summary.focus();
    for (const button of all("button[data-copy]", root)) button.hidden = !navigator.clipboard;
    for (const field of all("[data-reveal]", root)) if (!field.querySelector("button")) addReveal(field);
    const titled = document.querySelector("[data-title]");
    if (titled) document.title = titled.dataset.title + " – Fieldcard";
  };

  const addReveal = (field) => {
    const input = field.querySelector("input");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button button-second";
    button.textContent = field.dataset.reveal;
    button.setAttribute("aria-controls", input.id);
    button.addEventListener("click", () => {
      const shown = input.type === "password";
      input.type = shown ? "text" : "password";
      button.textContent = shown ? field.dataset.hide : field.dataset.reveal;
    });
    field.append(button);
    // A password that is visible when the form goes would be offered by the browser as an old answer later.
    input.form?.addEventListener("submit", () => { input.type = "password"; });
  };

  const copy = async (button) => {
    const words = button.querySelector("span") || button;
    const before = words.textContent;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
    words.textContent = button.dataset.done;
    toast(button.dataset.done);
    setTimeout(() => { words.textContent = before; }, 2000);
  };

  const closeMenus = (except) => {
    for (const menu of all("details.menu[open]")) if (menu !== except) menu.open = false;
  };

  const free = (form) => {
    delete form.dataset.sent;
    for (const button of all("button", form)) button.removeAttribute("aria-disabled");
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy]");
    if (button) copy(button);
    closeMenus(event.target.closest("details.menu"));
  });

  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
    if (!menu) return;
    closeMenus();
    menu.querySelector("summary").focus();
  });

  // A form that posts goes once; the second press of an impatient finger is dropped. data-again lets it go often (downloads).
  document.addEventListener("submit", (event) => {
    const form = event.target;
    unsent.delete(form);
    if (event.defaultPrevented || form.method !== "post" || "again" in form.dataset) return;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "1";
    for (const button of all("button:not([type=button])", form)) button.setAttribute("aria-disabled", "true");
  });
  addEventListener("pageshow", () => all("form[data-sent]").forEach(free));

  // <select data-autosubmit> or a file input with it sends its form as soon as something is chosen.
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-autosubmit]")) event.target.form.requestSubmit();
  });

  // <form data-guard> asks before leaving with answers that were not sent.
  document.addEventListener("input", (event) => {
    const form = event.target.closest("form[data-guard]");
    if (form) unsent.add(form);
  });
  addEventListener("beforeunload", (event) => {
    if ([...unsent].some((form) => form.isConnected)) event.preventDefault();
  });

  const say = (name) => () => toast(document.getElementById("toast")?.dataset[name]);
  document.addEventListener("htmx:load", (event) => arrive(event.detail.elt));
  document.addEventListener("htmx:afterRequest", (event) => {
    const form = event.detail.elt.closest("form");
    if (form) free(form);
  });
  document.addEventListener("htmx:sendError", say("lost"));
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status === 401) location.reload();
    else say("failed")();
  });

  // On a phone navigation and tabs are strips: the open one is brought into sight; the page stays.
  for (const open of all(".navigation [aria-current], .tabs [aria-current]")) {
    const strip = open.closest("ul");
    strip.scrollLeft += open.getBoundingClientRect().left - strip.getBoundingClientRect().left - strip.clientWidth / 3;
  }
  arrive(document);
})();
