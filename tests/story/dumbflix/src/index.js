import { createRoot } from 'react-dom/client';
import Greeting from './Greeting';

createRoot(document.getElementById('root')).render(
  <>
    <Greeting />
    <h2 id="page">{window.location.pathname === '/' ? 'All films' : 'One film'}</h2>
  </>
);
