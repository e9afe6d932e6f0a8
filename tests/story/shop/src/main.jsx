import { createRoot } from 'react-dom/client';
import { BrowserRouter, Link, Route, Routes } from 'react-router-dom';
import Greeting from './Greeting.jsx';
import './style.css';

function Item() {
  return <h2 id="page">One item</h2>;
}

createRoot(document.getElementById('root')).render(
  <BrowserRouter>
    <Greeting />
    <Link id="to-item" to="/items/7">An item</Link>
    <Routes>
      <Route path="/" element={<h2 id="page">All items</h2>} />
      <Route path="/items/:id" element={<Item />} />
    </Routes>
  </BrowserRouter>
);
