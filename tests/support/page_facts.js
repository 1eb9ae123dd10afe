// Runs beside frames that hold pages, and writes what a person would meet in each: see `page_facts` in browser.py.
"use strict";
(() => {
  const all = (within, selector) => [...within.querySelectorAll(selector)];
  const seen = (element) => element.getClientRects().length > 0;

  // WCAG 2.2: relative luminance, and the contrast of two colours.
  const rgba = (text) => text.match(/[\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (view, element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = rgba(view.getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return null;
  };
  const faint = (view, root) => {
    const found = new Set();
    const walk = root.ownerDocument.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
      const element = walk.currentNode.parentElement;
      if (!walk.currentNode.data.trim() || element.closest("script, style") || !seen(element)) continue;
      const ratio = contrast(rgba(view.getComputedStyle(element).color), behind(view, element));
      if (!(ratio >= 4.5)) found.add(`${walk.currentNode.data.slice(0, 40)}: ${ratio.toFixed(2)}`);
    }
    return [...found];
  };

  const state = (page) => ({
    rows: all(page, "table.apps tbody tr").filter(seen).length,
    kinds: [...new Set(all(page, "table.apps tbody tr").filter(seen).map((row) => row.cells[1].querySelector(".verdict").classList[1]))],
    sections: all(page, "section").filter(seen).map((section) => section.querySelector("table").id),
    numbers: all(page, "table.apps").filter(seen).map((table) => table.closest("section").querySelector(".number").textContent),
    counted: all(page, "tr[data-need]").filter(seen).map((row) => row.querySelector(".amount").innerText.replace(/\s+/g, " ")),
    output: page.querySelector("output").textContent,
    nothing: seen(page.querySelector(".nothing")),
    reset: seen(page.querySelector(".filter button")),
    pressed: all(page, "[aria-pressed=true]").map((card) => card.dataset.kind),
  });
  const type = (view, text) => {
    const input = view.document.querySelector("input");
    input.value = text;
    input.dispatchEvent(new view.Event("input"));
  };
  const control = (view, element) => {
    view.focus();
    element.focus();
    const style = view.getComputedStyle(element);
    const label = element.labels && element.labels[0];
    const region = element.getAttribute("aria-labelledby");
    const named = label && seen(label) ? label.textContent : region ? view.document.getElementById(region).textContent : element.innerText;
    return {
      what: element.tagName.toLowerCase(),
      name: named.trim().replace(/\s+/g, " "),
      reached: view.document.activeElement === element && element.tabIndex === 0,
      ring: parseFloat(style.outlineWidth) * (style.outlineStyle !== "none"),
      ringContrast: contrast(rgba(style.outlineColor), behind(view, element.parentElement)),
      height: element.getBoundingClientRect().height,
    };
  };
  const facts = (frame) => {
    const view = frame.contentWindow, page = frame.contentDocument;
    const width = page.documentElement.clientWidth;
    const found = {
      width,
      sideways: [page.documentElement, ...all(page, ".scroll")].map((each) => each.scrollWidth - each.clientWidth),
      cut: all(page, "table :is(th, td)").filter(seen).filter((cell) => {
        const box = cell.getBoundingClientRect();
        return box.left < 0 || box.right > width;
      }).map((cell) => cell.textContent),
      labels: [...new Set(all(page, "td[data-head]").filter(seen)
        .map((cell) => view.getComputedStyle(cell, "::before").content))],
      paper: view.getComputedStyle(page.body).backgroundColor,
      faint: faint(view, page.body),
      begin: state(page),
      controls: all(page, "a, button, input, [tabindex]").filter((each) => seen(each) && !each.disabled).map((each) => control(view, each)),
      asleep: all(page, "button:disabled").map((each) => each.dataset.kind),
    };
    const [card, other] = all(page, ".tiles button:enabled");
    card.click();
    found.one = state(page);
    found.pressedLooks = [...new Set([card, other].map((each) => view.getComputedStyle(each).boxShadow))].length;
    found.faintPressed = faint(view, page.body);
    other.click();
    found.two = state(page);
    view.dispatchEvent(new view.Event("beforeprint"));
    found.printed = state(page);
    view.dispatchEvent(new view.Event("afterprint"));
    found.after = state(page);
    card.click();
    other.click();
    found.none = state(page);
    type(view, "SHOP");
    found.typed = state(page);
    type(view, "no such app");
    found.missed = state(page);
    page.querySelector(".filter button").click();
    found.end = state(page);
    found.focused = page.activeElement.tagName;
    // How it is printed: the same sheet, for paper.
    for (const rule of page.styleSheets[0].cssRules) {
      if (!(rule instanceof view.CSSMediaRule)) continue;
      rule.media.mediaText = rule.conditionText.includes("print") ? "all" : "not all";
    }
    found.paperPrinted = view.getComputedStyle(page.body).backgroundColor;
    found.faintPrinted = faint(view, page.body);
    found.controlsPrinted = all(page, "input, .filter button, .nothing").filter(seen).length;
    found.headsPrinted = all(page, "table thead").filter(seen).length;
    return found;
  };
  addEventListener("load", () => {
    const told = document.createElement("pre");
    told.id = "facts";
    told.textContent = JSON.stringify(Object.fromEntries(all(document, "iframe").map((frame) => [frame.title, facts(frame)])));
    document.body.append(told);
  });
})();
