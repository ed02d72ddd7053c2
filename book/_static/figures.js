/* Layers of figures: a reader shows or hides single trials and the paper's values. Each choice is a
   picture of its own, so this works from a folder on disk and needs nothing else. */
document.addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll("figure.book-figure")) {
    const layers = figure.querySelector(".figure-layers");
    if (!layers) continue;
    const picture = figure.querySelector("img");
    const download = figure.querySelector('a[download$=".svg"]');
    layers.hidden = false;
    layers.addEventListener("change", () => {
      const chosen = [...layers.querySelectorAll("input:checked")].map((box) => box.dataset.layer);
      picture.src = picture.getAttribute(`data-with-${chosen.join("-") || "none"}`);
      download.href = picture.src;
    });
  }
});
