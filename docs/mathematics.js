// Renders mathematics with the bundled copy of KaTeX, so that pages work offline.
document.addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll(".arithmatex")) {
    const tex = element.textContent.trim().replace(/^\\[([]/, "").replace(/\\[)\]]$/, "");
    katex.render(tex, element, { displayMode: element.tagName === "DIV", throwOnError: false });
  }
});
