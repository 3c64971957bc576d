// The page of the offline portal: camera, photo, typed code and list of codes in; one plain answer out.
// It asks no server, keeps nothing and knows no person.
"use strict";

(function () {
  const AGEING_AFTER = 7; // days, as for the status list of the cards
  const OLD_AFTER = 30;
  const FRAME_EVERY = 120; // milliseconds between two looks at the camera
  const DAY = 86400000;
  const REPORTED = { known: "recognised", unknown: "not_recognised", typing: "typing_error" }; // for other programs

  const words = JSON.parse(document.getElementById("words").textContent);
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const listed = Checks.fromBase64(facts.listed);
  const typed = Object.assign({}, facts.typed, {
    hashes: Checks.riceDecode(Checks.fromBase64(facts.typed.hashes), facts.typed.count),
  });
  const find = (id) => document.getElementById(id);

  let language = facts.language;
  let shown = null; // the answer on the page, to say it again in another language
  let summed = null; // the same for the list of codes
  let stream = null;

  // --- from a picture or a text to an answer -------------------------------------------------------------------

  async function answerQr(text) {
    const token = Checks.tokenIn(text);
    return token ? answerToken(token) : { tone: "unknown", title: "unknown", say: ["other_qr"] };
  }

  async function answerToken(text) {
    const verdict = await Checks.verify(text, facts.keys, Checks.dayOf(Date.now()));
    const token = verdict.token;
    switch (verdict.outcome) {
      case "genuine":
        return genuine(text, token);
      case "expired":
        return { tone: "unknown", title: "expired", token, say: ["expired_say"] };
      case "not_yet_valid":
        return { tone: "unknown", title: "early", token, say: ["early_say"] };
      case "signature_wrong":
        return { tone: "false", title: "false", say: ["false_say"] };
      case "unknown_key":
        return { tone: "unknown", title: "unknown", say: ["unknown_key"] };
      default:
        return { tone: "unknown", title: "unknown", say: ["damaged"] };
    }
  }

  async function genuine(text, token) {
    if (await Checks.isListed(text, listed))
      return { tone: "valid", title: "valid", token, campaign: true, say: ["valid_say"] };
    if (facts.campaigns.includes(token.campaign))
      return { tone: "known", title: "unlisted", token, campaign: true, say: ["unlisted_say", "ask_online"] };
    return { tone: "known", title: "elsewhere", token, say: ["elsewhere_say", "ask_online"] };
  }

  async function answerTyped(text) {
    // A pasted address is a scan by hand.
    if (Checks.tokenIn(text)) return answerQr(text);
    const read = Checks.readCode(text, facts.prefix);
    const code = read.code;
    switch (read.kind) {
      case "code":
        if (await Checks.isKnown(code, typed))
          return { tone: "known", title: "known", code, say: ["known_say"] };
        return { tone: "unknown", title: "unknown", code, say: ["unlisted_code", "ask_online"] };
      case "other_prefix":
        return { tone: "unknown", title: "unknown", code, say: ["other_prefix", "ask_online"] };
      case "wrong_check":
        return { tone: "note", title: "typing", code, say: ["wrong_check"] };
      default:
        return { tone: "note", title: "typing", say: ["code_" + read.kind] };
    }
  }

  // Show the answer when it is there, also when this browser cannot find one.
  async function present(answer) {
    try {
      show(await answer);
    } catch (error) {
      show({ tone: "note", title: "too_old", say: ["too_old_say"] });
    }
  }

  // --- showing -------------------------------------------------------------------------------------------------

  function show(answer) {
    shown = answer;
    const place = find("answer");
    place.className = answer.tone;
    place.querySelector("use").setAttribute("href", "#icon-" + answer.tone);
    place.querySelector("h2").textContent = say("title_" + answer.title);

    const lines = place.querySelector(".lines");
    lines.textContent = "";
    if (answer.code) line(lines, answer.code, "fact");
    if (answer.campaign) line(lines, say("campaign", { prefix: facts.prefix }), "fact");
    if (answer.token) {
      line(lines, say("issued", { date: date(Checks.dateOf(answer.token.issued)) }), "fact");
      if (answer.token.expires)
        line(lines, say("good_until", { date: date(Checks.dateOf(answer.token.expires)) }), "fact");
    }
    answer.say.forEach((name) =>
      line(lines, say(name, { prefix: facts.prefix, address: facts.verify_address })),
    );

    place.hidden = false;
    place.focus({ preventScroll: true });
    place.scrollIntoView({ block: "nearest" });
  }

  function line(place, text, className) {
    const paragraph = document.createElement("p");
    paragraph.textContent = text;
    if (className) paragraph.className = className;
    place.append(paragraph);
  }

  function say(name, values) {
    return words[language][name].replace(/\{(\w+)\}/g, (whole, key) => values[key]);
  }

  function date(day) {
    // Browsers without Wolof dates write French ones, as people do.
    return day.toLocaleDateString([words[language].locale, "fr"], {
      day: "numeric",
      month: "long",
      year: "numeric",
      timeZone: "UTC",
    });
  }

  function speak() {
    document.documentElement.lang = language;
    document.title = facts.prefix + " · " + say("title");
    find("language").value = language;
    document.querySelectorAll("[data-say]").forEach((place) => {
      place.textContent = say(place.dataset.say);
    });
    find("test-cards").hidden = !facts.test;
    sayAge();
    sayWhereOnline();
    if (shown) show(shown);
    if (summed) showSum();
  }

  function sayAge() {
    const made = new Date(facts.generated_at);
    const days = Math.floor((Date.now() - made) / DAY);
    const name = days < 0 ? "age_clock" : days === 0 ? "age_today" : days === 1 ? "age_one" : "age_many";
    const cards = facts.total_cards.toLocaleString([words[language].locale, "fr"]);
    const advice = days > AGEING_AFTER ? " " + say("age_advice") : "";
    find("age").textContent =
      say("age_list", { date: date(made), cards }) + " " + say(name, { days }) + advice;
    find("age").className = days > OLD_AFTER ? "old" : days > AGEING_AFTER || days < 0 ? "ageing" : "fresh";
  }

  function sayWhereOnline() {
    const link = document.createElement("a");
    link.href = facts.verify_address;
    link.rel = "noreferrer";
    link.textContent = facts.verify_address;
    find("online").replaceChildren(say("ask_online", { address: "" }), link);
  }

  // --- camera and photo ----------------------------------------------------------------------------------------

  async function startCamera() {
    find("scan").disabled = true;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { facingMode: "environment", width: { ideal: 1280 } },
      });
    } catch (error) {
      return show({ tone: "note", title: "camera", say: ["no_camera"] });
    } finally {
      find("scan").disabled = false;
    }
    const video = find("viewfinder").querySelector("video");
    video.srcObject = stream;
    find("answer").hidden = true;
    find("viewfinder").hidden = false;
    find("scan").hidden = true;
    look(video);
  }

  function look(video) {
    if (!stream) return;
    const found = Pictures.readFrame(video);
    if (!found) {
      setTimeout(look, FRAME_EVERY, video);
      return;
    }
    stopCamera();
    present(answerQr(found));
  }

  function stopCamera() {
    if (stream) stream.getTracks().forEach((track) => track.stop());
    stream = null;
    find("viewfinder").hidden = true;
    find("scan").hidden = false;
  }

  async function answerPhoto(file) {
    try {
      const text = await Pictures.readPhoto(file);
      return text ? answerQr(text) : { tone: "note", title: "no_qr", say: ["no_qr_say"] };
    } catch (error) {
      return { tone: "note", title: "no_qr", say: ["no_picture"] };
    }
  }

  // --- a list of codes -----------------------------------------------------------------------------------------

  async function answerMany(file) {
    const counts = { known: 0, unknown: 0, typing: 0 };
    const report = ["code,result"];
    const rows = (await file.text())
      .split(/\r?\n/)
      .map((row) => row.split(/[,;\t]/)[0].replace(/^[\s\ufeff"']+|[\s"']+$/g, ""));
    for (const row of rows) {
      if (!row || row.toLowerCase() === "code") continue;
      const read = Checks.readCode(row, facts.prefix);
      let result = "typing";
      if (read.kind === "other_prefix") result = "unknown";
      if (read.kind === "code") result = (await Checks.isKnown(read.code, typed)) ? "known" : "unknown";
      counts[result] += 1;
      report.push(cell(read.code || row) + "," + REPORTED[result]);
    }
    summed = { counts, report: new Blob(["\ufeff" + report.join("\r\n") + "\r\n"], { type: "text/csv" }) };
    showSum();
  }

  // A spreadsheet takes a cell that begins with one of these for a formula.
  function cell(text) {
    return '"' + (/^[=+\-@\t]/.test(text) ? "'" : "") + text.replace(/"/g, '""') + '"';
  }

  function showSum() {
    const table = document.createElement("table");
    for (const result of Object.keys(summed.counts)) {
      const row = table.insertRow();
      const name = document.createElement("th");
      name.scope = "row";
      name.textContent = say("title_" + result);
      row.append(name);
      row.insertCell().textContent = summed.counts[result];
    }
    const save = document.createElement("a");
    save.className = "way";
    save.href = URL.createObjectURL(summed.report);
    save.download = facts.prefix + "-report.csv";
    save.textContent = say("many_save");
    find("many").replaceChildren(table, save);
  }

  // --- the page ------------------------------------------------------------------------------------------------

  find("language").addEventListener("change", (event) => {
    language = event.target.value;
    speak();
  });
  find("scan").addEventListener("click", startCamera);
  find("stop").addEventListener("click", stopCamera);
  document.addEventListener("visibilitychange", () => document.hidden && stopCamera());
  find("photo").addEventListener("change", (event) => {
    const file = event.target.files[0];
    event.target.value = "";
    if (file) present(answerPhoto(file));
  });
  find("typed").addEventListener("submit", (event) => {
    event.preventDefault();
    present(answerTyped(find("code").value));
  });
  find("codes").addEventListener("change", (event) => {
    const file = event.target.files[0];
    event.target.value = "";
    if (file) answerMany(file);
  });
  // Without a camera that a page may use, the photo is the way.
  find("scan").hidden = !(navigator.mediaDevices && navigator.mediaDevices.getUserMedia);
  speak();
})();
