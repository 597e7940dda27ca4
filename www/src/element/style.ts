// How the elements look until a page styles their parts.

export const STYLE = `
:host { display: inline-grid; vertical-align: top; gap: 8px; max-width: 100%; width: 320px; font: inherit; }
:host([hidden]), [hidden] { display: none !important; }
[part='stage'] { position: relative; overflow: hidden; border-radius: 12px; background: rgb(128 128 128 / 15%); }
[part='video'], [part='picture'] { display: block; width: 100%; height: 100%; object-fit: cover; }
[part='video'] { min-height: 180px; }
:host(cliper-camera:not([unmirrored])) [part='video'] { transform: scaleX(-1); }
[part='faces'] { position: absolute; inset: 0; pointer-events: none; }
[part='face'] { position: absolute; border: 2px solid #fff; border-radius: 12px; box-shadow: 0 0 0 1px rgb(0 0 0 / 30%); }
[part='label'] {
  position: absolute; left: 50%; bottom: 6px; translate: -50%; padding: 1px 9px; border-radius: 99px;
  background: rgb(0 0 0 / 60%); color: #fff; font-size: 13px; white-space: nowrap;
}
[part='progress'] { position: absolute; inset: auto 16px 16px; width: calc(100% - 32px); }
[part='button'] {
  min-height: 44px; padding: 10px 18px; border: 1px solid rgb(128 128 128 / 50%); border-radius: 99px; background: none;
  color: inherit; font: inherit; cursor: pointer;
}
[part='problem'], [part='notice'] { margin: 0; font-size: 13px; }
[part='notice'] { opacity: 0.75; }
`;
