/* Every page's own script. It needs nothing else, and works from a folder on disk. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  /* Pictures further down wait for the text, but not for a reader who scrolls: whoever prints, or
     goes offline, has them all. A browser that begins to print no longer waits for them. */
  for (const picture of document.querySelectorAll("img[loading=lazy]")) picture.loading = "eager";

  /* Layers of figures: a reader shows or hides single trials and the paper's values. Each choice is
     a picture of its own. */
  for (const figure of document.querySelectorAll("figure.book-figure")) {
    const layers = figure.querySelector(".figure-layers");
    if (!layers) continue;
    const picture = figure.querySelector("img");
    const download = figure.querySelector('a[download$=".svg"]');
    layers.hidden = false;
    const show = () => {
      const chosen = [...layers.querySelectorAll("input:checked")].map((box) => box.dataset.layer);
      picture.src = picture.getAttribute(`data-with-${chosen.join("-") || "none"}`);
      download.href = picture.src;
    };
    layers.addEventListener("change", show);
    // Some browsers restore choices when a page is loaded again.
    const restored = () => [...layers.querySelectorAll("input")].some((box) => box.checked !== box.defaultChecked);
    addEventListener("pageshow", () => restored() && show());
  }

  /* The definition of a term opens on the side where there is room, and Escape closes it. */
  const ROOM = 23 * 16; // pixels that a definition may take
  const terms = [...document.querySelectorAll("a[data-definition]")];
  for (const term of terms) {
    const open = () =>
      term.toggleAttribute("data-at-end", term.getBoundingClientRect().left + ROOM > document.documentElement.clientWidth);
    const forget = () => term.removeAttribute("data-dismissed");
    term.addEventListener("pointerenter", open);
    term.addEventListener("focus", open);
    term.addEventListener("pointerleave", forget);
    term.addEventListener("blur", forget);
  }
  document.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape") return;
    for (const term of terms) term.toggleAttribute("data-dismissed", term.matches(":hover, :focus"));
  });

  /* What scrolls sideways can be reached, and so scrolled, by keyboard; what does not is no stop. */
  const wide = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  const scrolling = ".bd-content :is(pre, .text_html, .figure-picture, div.math, .pst-scrollable-table-container)";
  const watch = (selector) => document.querySelectorAll(selector).forEach((block) => wide.observe(block));
  watch(scrolling);
  // Formulas are set after this; MathJax says when they stand.
  addEventListener("load", () => window.MathJax?.startup?.promise?.then(() => watch("mjx-container[display]")));
});
